//! What an expression is worth before it runs: constants, and what plain functions make of them.

use std::collections::HashMap;

use ruff_python_ast::{Expr, ExprCall, FStringPart, InterpolatedStringElement, Number, Operator, UnaryOp};

use crate::read::code::{base64, hex};

/// Bytes of a value, items of a list and nesting of an expression at most: constants multiply.
const LONGEST: usize = 64 << 10;
const ITEMS: usize = 4_096;
const DEPTH: usize = 24;
/// Values one name is given in one text, all of which count.
const GIVEN: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Number(i64),
    List(Vec<Value>),
}

impl Value {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Number(number) => Some(number.to_string()),
            Self::List(_) => None,
        }
    }

    /// The text, or those of a list.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.iter().filter_map(Self::text).collect(),
            one => one.text().into_iter().collect(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) => 8,
            Self::List(items) => items.iter().map(Self::size).sum(),
        }
    }

    fn items(self) -> Vec<Self> {
        match self {
            Self::Text(text) => text.chars().map(|letter| Self::Text(letter.to_string())).collect(),
            Self::Bytes(bytes) => bytes.into_iter().map(|byte| Self::Number(i64::from(byte))).collect(),
            Self::Number(_) => Vec::new(),
            Self::List(items) => items,
        }
    }

    /// The same kind of value with other items.
    fn with(&self, items: Vec<Self>) -> Option<Self> {
        Some(match self {
            Self::Text(_) => Self::Text(items.iter().map(Self::text).collect::<Option<_>>()?),
            Self::Bytes(_) => Self::Bytes(bytes_of(&items)?),
            Self::Number(_) => return None,
            Self::List(_) => Self::List(items),
        })
    }
}

/// What names stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    values: HashMap<String, Vec<Value>>,
    /// Functions, modules and objects by their dotted names.
    things: HashMap<String, String>,
}

impl Names {
    pub(super) fn give(&mut self, name: &str, value: Value) {
        let given = self.values.entry(name.to_owned()).or_default();
        if given.len() < GIVEN && !given.contains(&value) {
            given.push(value);
        }
    }

    pub(super) fn call(&mut self, name: &str, thing: String) {
        self.things.insert(name.to_owned(), thing);
    }

    /// Every value the expression may have, when it is a name given several.
    pub(super) fn worth(&self, expr: &Expr) -> Vec<Value> {
        match expr {
            Expr::Name(name) => self.values.get(name.id.as_str()).cloned().unwrap_or_default(),
            expr => self.value(expr, 0).into_iter().collect(),
        }
    }

    /// The dotted name of a function: `os.system`, `pathlib.Path().unlink`.
    pub(super) fn dotted(&self, expr: &Expr) -> Option<String> {
        self.dotted_within(expr, 0)
    }

    fn dotted_within(&self, expr: &Expr, depth: usize) -> Option<String> {
        if depth > DEPTH {
            return None;
        }
        match expr {
            Expr::Name(name) => {
                Some(self.things.get(name.id.as_str()).cloned().unwrap_or_else(|| name.id.to_string()))
            }
            Expr::Attribute(attribute) => {
                let of = self.dotted_within(&attribute.value, depth + 1)?;
                Some(one_path(format!("{of}.{}", attribute.attr)))
            }
            Expr::Call(call) => {
                let function = self.dotted_within(&call.func, depth + 1)?;
                let text = |at: usize| self.value(call.arguments.args.get(at)?, depth + 1)?.text();
                match function.as_str() {
                    "__import__" | "importlib.import_module" | "import_module" => text(0),
                    "vars" => {
                        let of = call.arguments.args.first().and_then(|of| self.dotted_within(of, depth + 1));
                        Some(of.map_or_else(|| "vars()".to_owned(), |of| format!("{of}.__dict__")))
                    }
                    "getattr" => {
                        let of = self.dotted_within(call.arguments.args.first()?, depth + 1)?;
                        Some(format!("{of}.{}", text(1)?))
                    }
                    _ => match function.strip_suffix(".__getattribute__") {
                        Some(of) => Some(format!("{of}.{}", text(0)?)),
                        None => Some(one_path(format!("{function}()"))),
                    },
                }
            }
            // `Path.home() / "x"` is a path as `Path("x")` is.
            Expr::BinOp(operation) if operation.op == Operator::Div => {
                self.dotted_within(&operation.left, depth + 1).filter(|left| left == PATH)
            }
            // `globals()['os']`, `os.__dict__['system']`, `sys.modules['os']`.
            Expr::Subscript(subscript) => {
                let of = self.dotted_within(&subscript.value, depth + 1)?;
                let key = self.value(&subscript.slice, depth + 1)?.text()?;
                match of.strip_suffix(".__dict__") {
                    Some(of) => Some(format!("{of}.{key}")),
                    None if matches!(of.as_str(), "globals()" | "locals()" | "vars()" | "sys.modules") => {
                        Some(self.things.get(&key).cloned().unwrap_or(key))
                    }
                    None => Some(format!("{of}[]")),
                }
            }
            Expr::Await(inner) => self.dotted_within(&inner.value, depth + 1),
            _ => None,
        }
    }

    fn value(&self, expr: &Expr, depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        let value = match expr {
            Expr::StringLiteral(literal) => Value::Text(literal.value.to_str().to_owned()),
            Expr::BytesLiteral(literal) => {
                Value::Bytes(literal.value.iter().flat_map(|part| part.value.iter().copied()).collect())
            }
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(number) => Value::Number(number.as_i64()?),
                _ => return None,
            },
            Expr::UnaryOp(unary) => match (unary.op, self.value(&unary.operand, depth + 1)?) {
                (UnaryOp::USub, Value::Number(number)) => Value::Number(number.checked_neg()?),
                _ => return None,
            },
            Expr::List(list) => Value::List(self.all(&list.elts, depth)?),
            Expr::Tuple(tuple) => Value::List(self.all(&tuple.elts, depth)?),
            Expr::Name(name) => self.values.get(name.id.as_str())?.last()?.clone(),
            Expr::FString(text) => Value::Text(self.formatted(text.value.iter(), depth)?),
            Expr::BinOp(operation) => {
                let left = self.value(&operation.left, depth + 1)?;
                let right = self.value(&operation.right, depth + 1)?;
                combined(left, operation.op, right)?
            }
            Expr::Subscript(subscript) => {
                self.part(&self.value(&subscript.value, depth + 1)?, &subscript.slice, depth)?
            }
            Expr::ListComp(comprehension) => {
                self.each(&comprehension.elt, comprehension.generators.as_slice(), depth)?
            }
            Expr::Generator(generator) => self.each(&generator.elt, &generator.generators, depth)?,
            Expr::Call(call) => self.called(call, depth)?,
            _ => return None,
        };
        (value.size() <= LONGEST).then_some(value)
    }

    fn all(&self, exprs: &[Expr], depth: usize) -> Option<Vec<Value>> {
        (exprs.len() <= ITEMS).then(|| exprs.iter().map(|expr| self.value(expr, depth + 1)).collect())?
    }

    fn formatted<'e>(&self, parts: impl Iterator<Item = &'e FStringPart>, depth: usize) -> Option<String> {
        let mut text = String::new();
        for part in parts {
            match part {
                FStringPart::Literal(literal) => text.push_str(&literal.value),
                FStringPart::FString(inner) => {
                    for element in &inner.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => text.push_str(&literal.value),
                            InterpolatedStringElement::Interpolation(hole) => {
                                text.push_str(&self.value(&hole.expression, depth + 1)?.text()?);
                            }
                        }
                    }
                }
            }
        }
        Some(text)
    }

    /// `x[2:5]`, `x[::-1]`, `x[0]`.
    fn part(&self, whole: &Value, slice: &Expr, depth: usize) -> Option<Value> {
        let items = whole.clone().items();
        let count = i64::try_from(items.len()).ok()?;
        let place = |at: i64| if at < 0 { at + count } else { at };
        let number = |expr: &Expr| match self.value(expr, depth + 1)? {
            Value::Number(number) => Some(number),
            _ => None,
        };
        let Expr::Slice(slice) = slice else {
            let item = items.get(usize::try_from(place(number(slice)?)).ok()?)?.clone();
            return Some(item);
        };
        let bound = |expr: &Option<Box<Expr>>, otherwise: i64| match expr {
            Some(expr) => Some(place(number(expr)?).clamp(0, count)),
            None => Some(otherwise),
        };
        let step = slice.step.as_deref().map_or(Some(1), number)?;
        let (from, to) = (bound(&slice.lower, 0)?, bound(&slice.upper, count)?);
        let stride = usize::try_from(step.unsigned_abs()).ok().filter(|stride| *stride > 0)?;
        let range = usize::try_from(from).ok()?..usize::try_from(to.max(from)).ok()?;
        let mut taken: Vec<Value> = if step > 0 {
            items.get(range)?.iter().step_by(stride).cloned().collect()
        } else {
            items.iter().rev().step_by(stride).cloned().collect()
        };
        taken.truncate(ITEMS.max(LONGEST));
        whole.with(taken)
    }

    /// `[chr(x) for x in (114, 109)]`, with one loop and no condition.
    fn each(&self, item: &Expr, loops: &[ruff_python_ast::Comprehension], depth: usize) -> Option<Value> {
        let [only] = loops else { return None };
        let Expr::Name(name) = &only.target else { return None };
        let source = self.value(&only.iter, depth + 1)?.items();
        let mut inner = Self { values: self.values.clone(), things: self.things.clone() };
        let mut made = Vec::new();
        for value in source.into_iter().take(ITEMS) {
            inner.values.insert(name.id.to_string(), vec![value]);
            made.push(inner.value(item, depth + 1)?);
        }
        Some(Value::List(made))
    }

    fn called(&self, call: &ExprCall, depth: usize) -> Option<Value> {
        let arguments = &call.arguments.args;
        let argument = |at: usize| self.value(arguments.get(at)?, depth + 1);
        let text = |at: usize| argument(at)?.text();
        if let Expr::Attribute(attribute) = call.func.as_ref()
            && let Some(of) = self.value(&attribute.value, depth + 1)
        {
            return self.method(of, attribute.attr.as_str(), arguments, depth);
        }
        let function = self.dotted_within(&call.func, depth + 1)?;
        let name = function.rsplit('.').next().unwrap_or_default();
        Some(match name {
            "chr" => match argument(0)? {
                Value::Number(number) => {
                    Value::Text(char::from_u32(u32::try_from(number).ok()?)?.to_string())
                }
                _ => return None,
            },
            "str" | "compile" => Value::Text(text(0)?),
            "list" | "tuple" => Value::List(argument(0)?.items()),
            "reversed" => Value::List(argument(0)?.items().into_iter().rev().collect()),
            "bytes" | "bytearray" => match argument(0)? {
                Value::List(items) => Value::Bytes(bytes_of(&items)?),
                value => Value::Bytes(value.text()?.into_bytes()),
            },
            "map" if matches!(arguments.first(), Some(Expr::Name(name)) if name.id == "chr") => {
                let letter = |value: Value| match value {
                    Value::Number(number) => {
                        Some(Value::Text(char::from_u32(u32::try_from(number).ok()?)?.to_string()))
                    }
                    _ => None,
                };
                Value::List(argument(1)?.items().into_iter().map(letter).collect::<Option<_>>()?)
            }
            "b64decode" | "urlsafe_b64decode" | "standard_b64decode" | "a2b_base64" | "decodebytes" => {
                Value::Bytes(base64(text(0)?.trim())?)
            }
            "fromhex" | "unhexlify" | "a2b_hex" | "b16decode" => Value::Bytes(hex(text(0)?.trim())?),
            "decode" if function.starts_with("codecs") => decoded(&text(0)?, &text(1)?)?,
            "expanduser" | "expandvars" | "abspath" | "realpath" | "Path" | "PurePath" | "quote"
            | "dedent" | "fsencode" | "fspath" | "PosixPath" => Value::Text(text(0)?),
            "join" => {
                let parts: Option<Vec<String>> = (0..arguments.len()).map(text).collect();
                Value::Text(parts?.join("/"))
            }
            "split" if function == "shlex.split" => {
                Value::List(text(0)?.split_whitespace().map(|word| Value::Text(word.to_owned())).collect())
            }
            "getenv" | "get" if function.starts_with("os.") && text(0)? == "HOME" => {
                Value::Text("~".to_owned())
            }
            "home" if function.ends_with("Path.home") => Value::Text("~".to_owned()),
            _ => return None,
        })
    }

    fn method(&self, of: Value, name: &str, arguments: &[Expr], depth: usize) -> Option<Value> {
        let argument = |at: usize| self.value(arguments.get(at)?, depth + 1);
        let text = |at: usize| argument(at)?.text();
        if let (Value::List(_), _) | (_, "join") = (&of, name) {
            if name != "join" {
                return None;
            }
            let parts: Option<Vec<String>> = argument(0)?.items().iter().map(Value::text).collect();
            return Some(Value::Text(parts?.join(&of.text()?)));
        }
        let held = of.text()?;
        Some(match name {
            "decode" => match text(0) {
                Some(coding) => decoded(&held, &coding).unwrap_or(Value::Text(held)),
                None => Value::Text(held),
            },
            "encode" | "as_posix" | "expanduser" | "resolve" | "absolute" => Value::Text(held),
            "replace" => Value::Text(held.replace(&text(0)?, &text(1)?)),
            "lower" => Value::Text(held.to_lowercase()),
            "upper" => Value::Text(held.to_uppercase()),
            "swapcase" => Value::Text(
                held.chars()
                    .map(|letter| {
                        if letter.is_lowercase() {
                            letter.to_ascii_uppercase()
                        } else {
                            letter.to_ascii_lowercase()
                        }
                    })
                    .collect(),
            ),
            "strip" | "rstrip" | "lstrip" if arguments.is_empty() => Value::Text(held.trim().to_owned()),
            "split" => {
                let parts: Vec<&str> = match text(0) {
                    Some(by) if !by.is_empty() => held.split(by.as_str()).collect(),
                    _ => held.split_whitespace().collect(),
                };
                Value::List(parts.into_iter().map(|part| Value::Text(part.to_owned())).collect())
            }
            "format" => {
                let mut made = held;
                for at in 0..arguments.len() {
                    let with = text(at)?;
                    made = made.replacen("{}", &with, 1).replace(&format!("{{{at}}}"), &with);
                }
                Value::Text(made)
            }
            "joinpath" => Value::Text(format!("{held}/{}", text(0)?)),
            _ => return None,
        })
    }
}

const PATH: &str = "pathlib.Path()";

/// A path made of a path, by its plain name.
fn one_path(name: String) -> String {
    const MAKERS: [&str; 9] = [
        "pathlib.Path.home()",
        "pathlib.Path.cwd()",
        "pathlib.PosixPath()",
        "pathlib.Path().expanduser()",
        "pathlib.Path().resolve()",
        "pathlib.Path().absolute()",
        "pathlib.Path().joinpath()",
        "pathlib.Path().with_name()",
        "pathlib.Path().parent",
    ];
    if MAKERS.contains(&name.as_str()) { PATH.to_owned() } else { name }
}

fn combined(left: Value, operation: Operator, right: Value) -> Option<Value> {
    Some(match (operation, left, right) {
        (Operator::Add, Value::Text(left), Value::Text(right)) => Value::Text(left + &right),
        (Operator::Add, Value::Number(left), Value::Number(right)) => Value::Number(left.checked_add(right)?),
        (Operator::Sub, Value::Number(left), Value::Number(right)) => Value::Number(left.checked_sub(right)?),
        (Operator::BitXor, Value::Number(left), Value::Number(right)) => Value::Number(left ^ right),
        (Operator::Add, Value::Bytes(left), Value::Bytes(right)) => Value::Bytes([left, right].concat()),
        (Operator::Add, Value::List(left), Value::List(right)) => Value::List([left, right].concat()),
        (Operator::Mult, Value::Text(text), Value::Number(times)) => {
            let times = usize::try_from(times).ok()?;
            (text.len().checked_mul(times)? <= LONGEST).then(|| Value::Text(text.repeat(times)))?
        }
        // `Path(a) / b`
        (Operator::Div, Value::Text(left), Value::Text(right)) => Value::Text(format!("{left}/{right}")),
        (Operator::Mod, Value::Text(format), values) => {
            let values = match values {
                Value::List(values) => values,
                one => vec![one],
            };
            let mut parts = format.split("%s");
            let mut made = parts.next().unwrap_or_default().to_owned();
            for (part, value) in parts.zip(values) {
                made.push_str(&value.text()?);
                made.push_str(part);
            }
            Value::Text(made)
        }
        _ => return None,
    })
}

fn bytes_of(items: &[Value]) -> Option<Vec<u8>> {
    let byte = |item: &Value| match item {
        Value::Number(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    items.iter().map(byte).collect()
}

fn decoded(text: &str, coding: &str) -> Option<Value> {
    Some(match coding.to_ascii_lowercase().replace('-', "_").as_str() {
        "hex" | "hex_codec" => Value::Bytes(hex(text)?),
        "base64" | "base64_codec" => Value::Bytes(base64(text)?),
        "rot13" | "rot_13" => {
            let turned = |letter: char| match letter {
                'a'..='m' | 'A'..='M' => char::from_u32(u32::from(letter) + 13).unwrap_or(letter),
                'n'..='z' | 'N'..='Z' => char::from_u32(u32::from(letter) - 13).unwrap_or(letter),
                other => other,
            };
            Value::Text(text.chars().map(turned).collect())
        }
        _ => Value::Text(text.to_owned()),
    })
}
