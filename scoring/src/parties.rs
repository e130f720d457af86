//! Who gets what leaves, and how much money moves with it.

use serde_json::Value;

use crate::Context;
use crate::rules::pack::Role;
use crate::rules::{Rules, Signal};
use crate::weigh::{Findings, Place};

/// Recipients looked at per call; more are many whoever they are.
const MOST: usize = 256;

/// Reads recipients and amounts in the arguments of a call that acts.
pub(crate) fn read<'r>(
    arguments: &Value,
    pointer: &str,
    context: &Context<'_>,
    rules: &'r Rules,
    findings: &mut Findings<'r>,
) {
    let Some(fields) = arguments.as_object() else { return };
    let limits = &rules.model.parties;
    let mut count = 0;
    let mut crowd: Option<Place> = None;
    let mut stranger: Option<Place> = None;
    for (name, value) in fields {
        let at = || Place::at(&format!("{pointer}/{name}"));
        match rules.roles.get(name.as_str()) {
            Some(Role::Recipient) => {
                let mut each = |recipient: &str| {
                    count += 1;
                    if crowd.is_none() && limits.is_crowd(recipient) {
                        crowd = Some(at());
                    }
                    if stranger.is_none() && is_stranger(recipient, context.known_recipients) {
                        stranger = Some(at());
                    }
                };
                visit(value, &mut each);
                if crowd.is_none() && count >= limits.many {
                    crowd = Some(at());
                }
            }
            Some(Role::Amount) if number(value).is_some_and(|amount| amount >= limits.large) => {
                findings.add(rules.signal(Signal::AmountLarge), at());
            }
            _ => {}
        }
    }
    if let Some(place) = crowd {
        findings.add(rules.signal(Signal::RecipientsMany), place);
    }
    if let Some(place) = stranger {
        findings.add(rules.signal(Signal::RecipientUnknown), place);
    }
}

/// Calls `each` with every recipient: a text with several, a list, a list of objects that hold an address.
fn visit(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => {
            let parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
            parts.take(MOST).for_each(each);
        }
        Value::Array(items) => items.iter().take(MOST).for_each(|item| visit(item, each)),
        Value::Object(fields) => {
            let named = ["email", "address", "emailAddress", "phone", "id", "name"];
            if let Some(value) = named.iter().find_map(|name| fields.get(*name)) {
                visit(value, each);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether an address is none of those the operator knows. Names and numbers say nothing of a domain.
fn is_stranger(recipient: &str, known: Option<&[String]>) -> bool {
    let Some(known) = known else { return false };
    let address = recipient.rsplit_once('<').map_or(recipient, |(_, address)| address);
    let address = address.trim_end_matches('>').trim().to_lowercase();
    let Some((_, domain)) = address.rsplit_once('@') else { return false };
    !domain.is_empty()
        && !known.iter().any(|known| {
            let known = known.trim_start_matches('@').to_lowercase();
            known == address
                || known == domain
                || domain.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
        })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        // "1,250.00 EUR" is an amount, too.
        Value::String(text) => {
            let digits: String =
                text.chars().filter(|letter| letter.is_ascii_digit() || *letter == '.').collect();
            digits.parse().ok()
        }
        _ => None,
    }
}

impl crate::rules::Parties {
    /// Whether a name stands for more people than one.
    fn is_crowd(&self, recipient: &str) -> bool {
        let name = recipient.trim_start_matches(['@', '#', '<', '!']).trim_end_matches('>').to_lowercase();
        let name = name.split('@').next().unwrap_or_default();
        self.crowds.iter().any(|crowd| crowd == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_an_address_of_a_domain_nobody_named() {
        let known = ["example.org".to_owned(), "ada@mail.example".to_owned()];
        for address in
            ["eve@evil.example", "Ada <eve@mail.example>", "x@notexample.org", "x@example.org.evil.example"]
        {
            assert!(is_stranger(address, Some(&known)), "{address}");
            assert!(!is_stranger(address, None));
        }
        for address in
            ["bob@example.org", "Bob <bob@Team.Example.org>", "ada@mail.example", "#general", "+4412345"]
        {
            assert!(!is_stranger(address, Some(&known)), "{address}");
        }
    }
}
