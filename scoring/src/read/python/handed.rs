//! Functions and files that code hands on: what is done with them later is not seen here.

use ruff_python_ast::visitor::{self, Visitor as _};
use ruff_python_ast::{Expr, ExprCall, StmtAssign};

use super::Reader;
use crate::SideEffect;
use crate::read::path::{self, Use};
use crate::rules::Signal;
use crate::rules::calls::Takes;

impl Reader<'_, '_> {
    /// What is called is no reference to it; what it is called on may be one.
    pub(super) fn callee(&mut self, function: &Expr) {
        match function {
            Expr::Call(inner) => {
                self.called(inner);
                self.callee(&inner.func);
                self.visit_arguments(&inner.arguments);
            }
            other => visitor::walk_expr(self, other),
        }
    }

    pub(super) fn renames(&self, assignment: &StmtAssign) -> bool {
        assignment.targets.iter().all(Expr::is_name_expr)
            && matches!(assignment.value.as_ref(), Expr::Name(_) | Expr::Attribute(_))
    }

    /// A function given as a value is called with what nobody sees.
    pub(super) fn handed(&mut self, expr: &Expr) {
        let Some(name) = self.names.dotted(expr).filter(|name| !name.ends_with("()")) else { return };
        let rules = self.rules;
        for (rule, spec) in rules.code_calls.of(&name).filter(|(_, spec)| spec.is_of(&name)) {
            let at = self.at.fix();
            match spec.takes {
                Takes::Shell | Takes::Words | Takes::Code => {
                    self.note(rule, at.clone());
                    self.findings.add(rules.signal(Signal::CodeHandedOver), at);
                }
                // It is handed over to be called for many.
                Takes::Delete => self.findings.add(rules.signal(Signal::ShellDeletesMany), at),
                _ if rule.effect.class > SideEffect::ReadOnly => self.findings.add(rule, at),
                _ => continue,
            }
            self.acts = true;
        }
    }

    /// Files nobody is given by chance, whatever is called with them.
    pub(super) fn guarded(&mut self, call: &ExprCall) {
        for text in call
            .arguments
            .args
            .iter()
            .flat_map(|argument| self.names.worth(argument))
            .flat_map(|value| value.texts())
        {
            if text.len() < 4_096 && path::is_guarded(&text, self.context, self.rules) {
                path::read(&text, Use::Read, &self.at.fix(), self.context, self.rules, self.findings);
            }
        }
    }
}
