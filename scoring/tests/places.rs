//! A command is read wherever a shell would run it, and code however it is handed over.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::LazyLock;

use herma_scoring::{Assessment, Call, Context, Kind, Rules, SideEffect, assess};
use serde_json::{Value, json};

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::shipped().unwrap());

fn judged(tool: &str, arguments: &Value) -> Assessment {
    let call = Call { kind: Kind::Tool, server: "hermes", tool, arguments };
    let context = Context { cwd: Some("/home/dev/project"), home: Some("/home/dev"), ..Context::default() };
    assess(&call, &context, &RULES)
}

fn shell(command: &str) -> Assessment {
    judged("terminal", &json!({ "command": command }))
}

fn waits(found: &Assessment) -> bool {
    found.class == SideEffect::Critical
        || found.risk_score > 0.60
        || (found.risk_score >= 0.25 && found.confidence < 0.60)
        || found.confidence < 0.35
}

/// Where a shell expands what is in a word; `{}` is the place.
const PLACES: [&str; 62] = [
    "a=x; echo ${a#{}}",
    "a=x; echo ${a##{}}",
    "a=x; echo ${a%{}}",
    "a=x; echo ${a%%{}}",
    "a=x; echo ${a/x/{}}",
    "a=x; echo ${a/{}/x}",
    "a=x; echo ${a//x/{}}",
    "a=x; echo ${a/#x/{}}",
    "a=x; echo ${a/%{}/y}",
    "echo ${HOME:{}0}",
    "echo ${HOME:0:{}1}",
    "echo ${HOME^{}}",
    "echo ${HOME^^{}}",
    "echo ${HOME,{}}",
    "echo ${HOME,,{}}",
    "echo ${a:-{}}",
    "echo ${a-{}}",
    "echo ${a:={}}",
    "echo ${a:+{}}",
    "a=x; echo ${a:+{}}",
    "echo ${a:?{}}",
    "echo ${a:-x{}y}",
    "echo ${a:-\"{}\"}",
    "echo \"${a:-{}}\"",
    "echo ${a:-${b#{}}}",
    "echo ${!a:-{}}",
    "echo ${!a#{}}",
    "echo ${a[{}]}",
    "echo ${#a[{}]}",
    "echo ${a[{}]#x}",
    "echo ${a[{}]:-x}",
    "echo ${a[{}]@Q}",
    "a[{}]=1",
    "a[{}]+=1",
    "a=([{}]=1)",
    "a=(x {} y)",
    "a={}",
    "a=${b//x/{}}",
    "export a=${b%{}}",
    "readonly a={}",
    "local a={}",
    "declare a=({})",
    "echo $((a[{}]))",
    "echo $(( ${a#{}} ))",
    "echo $[{}]",
    "(( a = {} ))",
    "let 'a[{}]'",
    "for ((i={};;)); do break; done",
    "for x in ${a#{}}; do :; done",
    "select x in {}; do break; done",
    "case a in {}) ;; esac",
    "case a in b|${a#{}}) ;; esac",
    "case {} in *) ;; esac",
    "[[ {} =~ x ]]",
    "[[ x =~ {} ]]",
    "[[ -v a[{}] ]]",
    "[[ -n ${a#{}} ]]",
    "cat <<X\n{}\nX",
    "cat <<X\n${a#{}}\nX",
    "cat <<< ${a#{}}",
    "ls > ${a:-{}}",
    "ls {fd}> ${a#{}}",
];

#[test]
fn a_command_is_held_wherever_a_shell_would_expand_it() {
    for place in PLACES {
        for command in ["$(rm -rf /srv)", "`rm -rf /srv`", "$(echo $(rm -rf /srv))"] {
            let text = place.replace("{}", command);
            assert!(waits(&shell(&text)), "{text}: {:?}", shell(&text));
        }
        let text = place.replace("{}", "$(echo 1)");
        assert!(shell(&text).class < SideEffect::Critical, "{text}: {:?}", shell(&text));
    }
}

#[test]
fn a_value_that_is_expanded_again_is_read_again() {
    for text in [
        "x='$(rm -rf /srv)'; echo ${x@P}",
        "x='`rm -rf /srv`'; echo \"${x@P}\"",
        "echo ${x@P}",
        "x='a[$(rm -rf /srv)]'; echo ${!x}",
        "x='a[$(rm -rf /srv)]'; echo $((x))",
        "x='a[$(rm -rf /srv)]'; [[ x -eq 1 ]]",
        "echo ${a:-<(rm -rf /srv)}",
        "x=1; echo \"${x:+'$(rm -rf /srv)'}\"",
        "echo ${a#>(rm -rf /srv)}",
        "PS4='$(rm -rf /srv)' bash -xc :",
    ] {
        assert!(waits(&shell(text)), "{text}: {:?}", shell(text));
    }
    for text in
        ["x='a b'; echo ${x@Q}", "x='[a]'; echo ${x^^}", "echo ${HOME:0:3}", "x='\\u@\\h'; echo ${x@P}"]
    {
        assert!(!waits(&shell(text)), "{text}: {:?}", shell(text));
    }
}

fn code(text: &str) -> Assessment {
    judged("execute_python", &json!({ "code": text }))
}

#[test]
fn a_function_that_runs_programs_is_held_when_it_is_handed_over() {
    for text in [
        "import os\nlist(map(os.system, ['rm -rf /srv']))",
        "import os\nsorted(['rm -rf /srv'], key=os.system)",
        "import subprocess\nmax(['rm -rf /srv'], key=subprocess.getoutput)",
        "import os\n@os.system\n@lambda f: 'rm -rf /srv'\ndef x(): 0",
        "import os\nclass A:\n  __class_getitem__ = os.system\nA['rm -rf /srv']",
        "import os, functools\nfunctools.partial(os.system, 'rm -rf /srv')()",
        "import os\nx = getattr(os, 'sys' + 'tem')\nx('rm -rf /srv')",
        "import os\nf = os.system\nlist(map(f, ['rm -rf /srv']))",
        "import os\n{'a': os.system}['a']('rm -rf /srv')",
        "import os\nx = [os.system]\nx[0]('rm -rf /srv')",
        "import os\nos.system.__call__('rm -rf /srv')",
        "import os\ndef g(c, f=os.system): f(c)\ng('rm -rf /srv')",
        "import os, threading\nthreading.Thread(target=os.system, args=('rm -rf /srv',)).start()",
        "import os, glob\nlist(map(os.remove, glob.glob('/srv/*')))",
        "import shutil\nlist(map(shutil.rmtree, ['/srv']))",
        "import os\ndef r(c):\n    os.system(c)\nr('rm -rf /srv')",
        "list(map(eval, ['1']))",
        "import os, operator\noperator.methodcaller('system', 'rm -rf /srv')(os)",
        "import os\nvars(os)['system']('rm -rf /srv')",
        "import os\nos.__getattribute__('system')('rm -rf /srv')",
        "import os\nos.execlp('rm', 'rm', '-rf', '/srv')",
        "import os\nos.spawnvp(os.P_WAIT, 'rm', ['rm', '-rf', '/srv'])",
        "().__class__.__base__.__subclasses__()[140].__init__.__globals__['system']('rm -rf /srv')",
    ] {
        assert!(waits(&code(text)), "{text}: {:?}", code(text));
    }
    for text in [
        "import os\nf = os.system\nf('ls')",
        "import subprocess\ndef go(p: subprocess.Popen) -> subprocess.Popen:\n    return p",
        "import subprocess\nprint(subprocess.run(['ls'], stdout=subprocess.PIPE))",
        "import os\nprint(sorted(os.listdir('.'), key=os.path.getsize))",
        "print(list(map(len, ['a'])))",
    ] {
        assert!(!waits(&code(text)), "{text}: {:?}", code(text));
    }
}

#[test]
fn code_that_would_run_and_cannot_be_read_waits() {
    for text in [
        "!rm -rf /srv",
        "x = 1\n!rm -rf /srv\n",
        "x = !rm -rf /srv",
        "!!rm -rf /srv",
        "%sx rm -rf /srv",
        "%system rm -rf /srv",
        "%%bash\nrm -rf /srv\n",
        "%%script bash\nrm -rf /srv\n",
        "%alias a rm -rf /srv",
        "get_ipython().run_cell_magic('bash', '', 'rm -rf /srv')",
        "%%perl\nunlink glob '*';\n",
        "!rm -rf /srv\n# console.log(1)",
        "print \"hi\"\nx = 1",
        "# coding: utf-7\nx = 1",
        "def (:\n  pass",
        "import pickle\npickle.loads(b'x')",
        "import marshal\nexec(marshal.loads(b'x'))",
        "exec(compile(open('x').read(), 'x', 'exec'))",
        "exec(compile('import os; os.system(\"rm -rf /srv\")', 'x', 'exec'))",
        "import ctypes\nctypes.CDLL(None).system(b'ls')",
        "exec(x)",
        "import timeit\ntimeit.timeit('__import__(\"os\").system(\"rm -rf /srv\")', number=1)",
    ] {
        assert!(waits(&code(text)), "{text}: {:?}", code(text));
    }
    for text in [
        "!ls -la",
        "%matplotlib inline\nprint(1)",
        "%pip list",
        "%%time\nprint(1)",
        "%%bash\nls -la\n",
        "# -*- coding: utf-8 -*-\nprint(1)",
        "exec('print(1)')",
    ] {
        assert!(!waits(&code(text)), "{text}: {:?}", code(text));
    }
    for text in ["() => document.title", "(el) => el.textContent", "const a = 1; console.log(a)"] {
        let found = judged("browser_evaluate", &json!({ "code": text }));
        assert!(!waits(&found), "{text}: {found:?}");
    }
}

/// Every way to nest, 64 KB of each, on a stack as small as a thread ever has.
#[test]
fn no_text_is_nested_so_deep_that_reading_it_ends_the_program() {
    let read = || {
        let many = |open: &str, close: &str| {
            let count = (63 << 10) / (open.len() + close.len());
            format!("x = {}1{}\n", open.repeat(count), close.repeat(count))
        };
        let chained = |link: &str| format!("x = a{}\n", link.repeat((63 << 10) / link.len()));
        let opened = [
            ("-", ""),
            ("not ", ""),
            ("~", ""),
            ("lambda: ", ""),
            ("lambda a, b: ", ""),
            ("2**", ""),
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("{1:", "}"),
            ("f(", ")"),
            ("f'{", "}'"),
            ("f\"{f'{", "}'}\""),
            ("f'{x:{", "}}'"),
            ("1 if 1 else ", ""),
            ("await ", ""),
            ("(yield ", ")"),
            ("x[", "]"),
            ("*", ""),
            ("a := ", ""),
            ("(a := ", ")"),
            ("[1 for x in ", "]"),
            ("(", ""),
            ("[", ""),
            ("f'{", ""),
        ];
        let links = [
            "+1",
            ".a",
            "()",
            "[0]",
            "(a)(b)",
            "+'b'",
            " and 1 or 1",
            " < 1",
            "**2",
            "(a, b)",
            " if 1 else 1",
            "\n.a",
            " = b",
            "@a",
            ":=a",
            " b",
            ", a",
        ];
        let lines = [
            "if a: pass\nelif a: pass\n",
            "@a\n",
            "class A: ",
            "if a: ",
            "async ",
            "try:\n",
            "with a, a: ",
            "match a:\n case ",
            "from a import ",
            "%time ",
            "!",
            "?",
            "exec('",
        ];
        let blocks = (0..350).map(|at| format!("{}if x:\n", " ".repeat(at))).collect::<String>();
        let codes = opened
            .iter()
            .map(|(open, close)| many(open, close))
            .chain(links.iter().map(|link| chained(link)));
        for text in codes.chain(lines.iter().map(|line| line.repeat((63 << 10) / line.len()))).chain([blocks])
        {
            code(&text);
        }
        assert!(waits(&code(&many("-", ""))) && waits(&code(&chained("+1"))));
        for open in [
            "(",
            "not ",
            "- ",
            "case when ",
            "select * from (",
            "exists (",
            "{",
            "[",
            "1 or ",
            "1 + ",
            "a.",
            "a::",
            "interval ",
            "union select 1 ",
        ] {
            for start in ["select ", "delete from t where "] {
                judged(
                    "query",
                    &json!({ "sql": format!("{start}{}", open.repeat((63 << 10) / open.len())) }),
                );
                judged("query", &json!({ "sql": format!("{start}{}1", open.repeat(8_000 / open.len())) }));
            }
        }
        for open in [
            "(",
            "$(",
            "{ ",
            "`",
            "if ",
            "! ",
            "${a:-",
            "[[ ! ",
            "[[ ( ",
            "$((",
            "((",
            "bash -c '",
            "sudo ",
            "case a in ",
            "<(",
            "a|",
            "a&&",
            "cat <<A\n",
            "\"$(",
            "f() ",
            "a=(",
            "${a[",
            "eval ",
            "{a,",
            "$[",
            "((1+(",
            "while ",
        ] {
            shell(&open.repeat((63 << 10) / open.len()));
            shell(&format!("echo {}", open.repeat(40)));
        }
        for open in ["[", "{\"a\":", "\"\\", "(", "<a>"] {
            judged("send_message", &json!({ "message": open.repeat((63 << 10) / open.len()) }));
            judged("browser_evaluate", &json!({ "code": format!("() => {}", open.repeat(30 << 10)) }));
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(read).unwrap().join().unwrap();
}
