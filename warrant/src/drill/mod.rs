//! Attacks on tokens, acted out: each builds the chain that the attack needs and asks for the verdict.

mod encoded;
mod stage;

use crate::admit::{Credential, ProofRules, admit};
use crate::approval::{Approval, SignedApproval, request_hash};
use crate::capability::Capability;
use crate::carrier;
use crate::conformance::{Judged, member};
use crate::constraint::Constraint;
use crate::decide::{Call, Outcome};
use crate::json::read_args;
use crate::limits::{Budget, Limits, Measure};
use crate::mint::{Draft, MintError, mint};
use crate::proof::{Audience, Claim, Proof};
use crate::revocation::{RevocationList, Revocations, Revoked};
use crate::spent::{Budgets, ClockFloor, SpentMemory};
use crate::value::{Args, Value};
use crate::warrant::{Payload, Warrant, WarrantId};
use encoded::*;
use stage::*;
use std::collections::BTreeMap;

type Act = fn() -> Option<Verdict>;

/// Scenes by words of the scenario, all of which it has, before those by code.
const BY_WORDS: &[(&[&str], Act)] = &[
    (&["another warrant"], || under_another_warrant()),
    (&["presented under child"], || under_another_warrant()),
    (&["future"], || proof_dated(60)),
    (&["revocation list", "older"], || list_rolled_back()),
    (&["rollback", "revocation"], || list_rolled_back()),
    (&["rollback", "srl"], || list_rolled_back()),
    (&["stale"], || list_stale()),
    (&["reorder"], || reordered()),
    (&["spliced"], || another_parent()),
    (&["trailing bytes"], || trailing_bytes()),
    (&["indefinite"], || indefinite()),
    (&["duplicate key", "map"], || duplicate_key()),
    (&["65 links"], || too_many_links()),
    (&["nested"], || too_nested()),
    (&["other server"], || relayed()),
    (&["another server"], || relayed()),
    (&["two servers"], || relayed()),
    (&["extra argument"], || arguments(r#"{"path": "/data/a", "more": 1}"#)),
    (&["missing argument"], || arguments("{}")),
    (&["argument missing"], || arguments("{}")),
    (&["twice", "header"], || duplicate_header()),
    (&["strip", "gate"], || widened(|payload| payload.gates = None)),
    (&["drops", "gate"], || widened(|payload| payload.gates = None)),
    (&["max_depth"], || widened(|payload| payload.max_depth = 65)),
    (&["allow_unknown"], || widened(|payload| capabilities(payload, |it| it.allow_unknown = true))),
    (&["clock", "back"], || clock_set_back()),
    (&["different session"], || of_another_session()),
];

/// Single words, for scenarios whose code says nothing here.
const BY_ONE_WORD: &[(&[&str], Act)] = &[
    (&["same version"], || list_changed()),
    (&["same approver"], || approved_twice_by_one()),
    (&["negative"], || negative_amount()),
    (&["swap", "holder"], || another_holder()),
    (&["another key"], || another_holder()),
    (&["replay"], || proof_twice()),
    (&["relay"], || relayed()),
    (&["forged"], || forged()),
    (&["tampered"], || forged()),
    (&["depth"], || deeper()),
    (&["self-issu"], || self_issued()),
    (&["spoof"], || approval_by(STRANGER)),
    (&["insufficient"], || approved_twice_by_one()),
    (&["parallel"], || budget(2)),
    (&["concurrent"], || budget(2)),
    (&["expired"], || at(NOW + 301)),
    (&["missing"], || arguments("{}")),
    (&["approval"], || approval_by(STRANGER)),
    (&["signature"], || forged()),
];

const BY_CODE: &[(&str, Act)] = &[
    ("approval-consumed", || approval_twice()),
    ("approval-mismatch", || approval_for_other_arguments()),
    ("approval-required", || gated(&[])),
    ("approval-expired", || approval_expired()),
    ("approval-spoofed", || approval_by(STRANGER)),
    ("approval-stranger", || approval_by(STRANGER)),
    ("approval-invalid", || approval_by(STRANGER)),
    ("proof-expired", || proof_dated(-61)),
    ("proof-future", || proof_dated(60)),
    ("proof-missing", || bearer()),
    ("proof-replayed", || proof_twice()),
    ("replay", || proof_twice()),
    ("proof-replay", || proof_twice()),
    ("proof-audience", || relayed()),
    ("audience", || relayed()),
    ("proof-invalid", || proof_for_another_tool()),
    ("chain-broken", || another_signer()),
    ("chain-ttl", || outlives()),
    ("chain-widened", || {
        widened(|payload| drop(payload.tools.insert("write_file".to_owned(), Capability::default())))
    }),
    ("chain-depth", || deeper()),
    ("approval-insufficient", || approved_twice_by_one()),
    ("revocations-changed", || list_changed()),
    ("session-mismatch", || of_another_session()),
    ("revoked", || revoked_in_the_middle()),
    ("revocation-rollback", || list_rolled_back()),
    ("revocations-rollback", || list_rolled_back()),
    ("srl-rollback", || list_rolled_back()),
    ("rollback", || list_rolled_back()),
    ("revocation-stale", || list_stale()),
    ("srl-stale", || list_stale()),
    ("revocations-stale", || list_stale()),
    ("unknown-field", || unknown_field()),
    ("unknown-constraint", || unknown_constraint()),
    ("unknown-critical-extension", || critical_extension()),
    ("unknown-version", || unknown_version()),
    ("unknown-algorithm", || unknown_algorithm()),
    ("non-canonical", || indefinite()),
    ("too-large", || too_large()),
    ("too-deep", || too_many_links()),
    ("weak-key", || weak_key()),
    ("signature-invalid", || forged()),
    ("untrusted-root", || untrusted()),
    ("expired", || at(NOW + 301)),
    ("not-yet-valid", || at(NOW - 31)),
    ("duplicate-key", || duplicate_argument()),
    ("unknown-argument", || arguments(r#"{"path": "/data/a", "more": 1}"#)),
    ("missing-argument", || arguments("{}")),
    ("constraint", || arguments(r#"{"path": null}"#)),
    ("open-capability", || open()),
    ("wildcard-tool", || wildcard_tool()),
    ("tool-not-granted", || other_names()),
    ("tool-identity", || renamed()),
    ("tool-changed", || changed()),
    ("batch", || batched()),
    ("duplicate-header", || duplicate_header()),
    ("conflicting-carriers", || conflicting()),
    ("sandbox-mismatch", || of_another_run()),
    ("clock-rollback", || clock_set_back()),
    ("budget-exhausted", || budget(1)),
    ("self-issuance", || self_issued()),
    ("clearance", || too_low()),
];

/// Codes that stand for scenes of several kinds.
const SHARED: &[&str] = &[
    "chain-broken",
    "chain-widened",
    "non-canonical",
    "too-deep",
    "approval-mismatch",
    "proof-invalid",
    "constraint",
];

/// Acts one scenario out. What is not known here is said so, and holds against no expectation.
pub(crate) fn token_scenario(item: &Value) -> Judged {
    let text = |name| member(item, name).and_then(Value::text).unwrap_or("");
    let (code, scenario) = (text("code"), text("scenario").to_lowercase());
    let act = told(code, &scenario);
    match act.map(|act| act()) {
        Some(Some((verdict, name))) => (verdict, name.to_owned()),
        Some(None) => ("unknown", "the scene could not be set".to_owned()),
        None => ("unknown", "there is no scene for this scenario".to_owned()),
    }
}

/// Scenarios of one code differ; these are told apart by what they say.
fn told(code: &str, scenario: &str) -> Option<Act> {
    let specific: &[(&str, &[(&str, Act)])] = &[
        (
            "chain-broken",
            &[
                ("another parent", || another_parent()),
                ("parent withheld", || parent_withheld()),
                ("presented alone", || parent_withheld()),
                ("not the parent's holder", || another_signer()),
            ],
        ),
        (
            "chain-widened",
            &[
                ("drops an argument", || {
                    widened(|payload| capabilities(payload, |it| it.constraints.clear()))
                }),
                ("adds an argument", || widened(|payload| capabilities(payload, add_argument))),
                ("clearance", || widened(|payload| payload.clearance = Some(50))),
                ("approver", || widened(|payload| payload.required_approvers = Some(vec![public(CHILD)]))),
                ("gate", || widened(|payload| payload.gates = None)),
            ],
        ),
        ("budget-exhausted", &[("child", || budget(2)), ("children", || budget(2))]),
        (
            "tool-not-granted",
            &[
                ("read_file'", || other_name("Read_File")),
                ("trailing space", || other_name("read_file ")),
                ("cyrillic", || other_name("re\u{430}d_file")),
            ],
        ),
        (
            "duplicate-key",
            &[("\\u0061", || refused_json(r#"{"path": "/data/ok", "p\u0061th": "/etc/passwd"}"#))],
        ),
    ];
    let of_code = specific.iter().find(|(name, _)| *name == code).map_or([].as_slice(), |(_, acts)| acts);
    let told = of_code.iter().find(|(word, _)| scenario.contains(word)).map(|(_, act)| *act);
    let all = |words: &[&str]| words.iter().all(|word| scenario.contains(word));
    let by_code = || BY_CODE.iter().find(|(name, _)| *name == code).map(|(_, act)| *act);
    let by_words = || BY_WORDS.iter().find(|(words, _)| all(words)).map(|(_, act)| *act);
    let by_one_word = || BY_ONE_WORD.iter().find(|(words, _)| all(words)).map(|(_, act)| *act);
    // Scenes that share a code are told apart by words; a code of its own says more than any word.
    told.or_else(|| {
        if SHARED.contains(&code) {
            by_words().or_else(by_code)
        } else {
            by_code().or_else(by_words).or_else(by_one_word)
        }
    })
}

fn arguments(text: &str) -> Option<Verdict> {
    called(root()?, &Call::new(TOOL, &args(text)?))
}

fn other_name(tool: &str) -> Option<Verdict> {
    called(root()?, &Call::new(tool, &inside()?))
}

fn other_names() -> Option<Verdict> {
    let names = ["Read_File", "read_file ", "re\u{430}d_file", "readfile", "read_file\u{200b}"];
    let verdicts: Option<Vec<_>> = names.into_iter().map(other_name).collect();
    verdicts?.into_iter().find(|(verdict, _)| *verdict != "deny").or(Some(("deny", "tool-not-granted")))
}

fn widened(change: impl FnOnce(&mut Payload)) -> Option<Verdict> {
    let root = guarded()?;
    let child = forge(&root, AGENT, change);
    presented(&[root, child])
}

fn of_another_session() -> Option<Verdict> {
    widened(|payload| payload.session_id = Some("session-2".to_owned()))
}

fn outlives() -> Option<Verdict> {
    widened(|payload| payload.expires_at += 1)
}

fn another_signer() -> Option<Verdict> {
    let root = root()?;
    let child = forge(&root, STRANGER, |_| {});
    presented(&[root, child])
}

fn another_parent() -> Option<Verdict> {
    let root = root()?;
    let child = forge(&root, AGENT, |payload| payload.parent_hash = Some([5; 32]));
    presented(&[root, child])
}

fn parent_withheld() -> Option<Verdict> {
    presented(&[forge(&root()?, AGENT, |_| {})])
}

fn reordered() -> Option<Verdict> {
    let root = root()?;
    let child = forge(&root, AGENT, |_| {});
    presented(&[child, root])
}

fn forged() -> Option<Verdict> {
    let mut root = root()?;
    root.signature = [1; 64];
    presented(&[root])
}

fn untrusted() -> Option<Verdict> {
    presented(&[mint(draft(1, AGENT), &key(STRANGER)).ok()?])
}

fn at(now: u64) -> Option<Verdict> {
    verified(&root()?.encode(), &Revocations::default(), now).err().or(Some(("allow", "verified")))
}

fn deeper() -> Option<Verdict> {
    let root = mint(Draft { max_depth: 0, ..draft(1, AGENT) }, &key(ROOT)).ok()?;
    let child = forge(&root, AGENT, |payload| payload.max_depth = 64);
    presented(&[root, child])
}

fn self_issued() -> Option<Verdict> {
    let mut issuing = Draft::new(id(1), public(AGENT), NOW);
    issuing.issues = Some(crate::mint::Issues { tools: vec![TOOL.to_owned()], ..Default::default() });
    let root = mint(issuing, &key(ROOT)).ok()?;
    let child = forge(&root, AGENT, |payload| {
        *payload = Payload {
            holder: public(AGENT),
            issuable_tools: None,
            kind: crate::warrant::Kind::Execution,
            ..payload.clone()
        };
        payload.tools.insert(TOOL.to_owned(), capability());
    });
    presented(&[root, child])
}

fn too_low() -> Option<Verdict> {
    let args = inside()?;
    called(root()?, &Call { clearance: Some(30), ..Call::new(TOOL, &args) })
}

fn revoked_in_the_middle() -> Option<Verdict> {
    let root = root()?;
    let middle = forge(&root, AGENT, |_| {});
    let leaf = forge(&middle, CHILD, |payload| {
        payload.id = id(3);
        payload.holder = public(4);
    });
    let mut revocations = Revocations::default();
    revocations.revoke(Revoked::Warrant(middle.payload.id));
    verified(&Warrant::encode_stack(&[root, middle, leaf]), &revocations, NOW)
        .err()
        .or(Some(("allow", "verified")))
}

fn list_rolled_back() -> Option<Verdict> {
    let revoker = public(ROOT).verifier().ok()?;
    let mut revocations = Revocations::default();
    let newer = RevocationList::sign([id(1)].into(), 2, NOW, &key(ROOT));
    revocations.adopt(&newer, &revoker).ok()?;
    let older = RevocationList::sign([].into(), 1, NOW - 60, &key(ROOT));
    revocations
        .adopt(&older, &revoker)
        .err()
        .map_or(Some(("allow", "adopted")), |error| Some(("deny", error.code())))
}

fn list_changed() -> Option<Verdict> {
    let revoker = public(ROOT).verifier().ok()?;
    let mut revocations = Revocations::default();
    revocations.adopt(&RevocationList::sign([id(1)].into(), 2, NOW, &key(ROOT)), &revoker).ok()?;
    let other = RevocationList::sign([].into(), 2, NOW, &key(ROOT));
    revocations
        .adopt(&other, &revoker)
        .err()
        .map_or(Some(("allow", "adopted")), |error| Some(("deny", error.code())))
}

fn list_stale() -> Option<Verdict> {
    let mut revocations = Revocations::default();
    revocations.require_lists_newer_than(Some(3600));
    verified(&root()?.encode(), &revocations, NOW).err().or(Some(("allow", "verified")))
}

fn proof_dated(offset: i64) -> Option<Verdict> {
    let args = inside()?;
    let root = root()?;
    let claim = Claim { warrant: root.payload.id, tool: TOOL, args: &args };
    let proof = Proof::sign_v1(&key(AGENT), &claim, NOW.checked_add_signed(offset)?);
    Some(asked(&chain(&[root])?, &Call::new(TOOL, &args), Credential::Proof(&proof), &[]))
}

fn bearer() -> Option<Verdict> {
    let args = inside()?;
    Some(asked(&chain(&[root()?])?, &Call::new(TOOL, &args), Credential::None, &[]))
}

fn proof_for_another_tool() -> Option<Verdict> {
    let args = inside()?;
    let root = root()?;
    let claim = Claim { warrant: root.payload.id, tool: "list_files", args: &args };
    let proof = Proof::sign_v1(&key(AGENT), &claim, NOW);
    Some(asked(&chain(&[root])?, &Call::new(TOOL, &args), Credential::Proof(&proof), &[]))
}

fn another_holder() -> Option<Verdict> {
    let args = inside()?;
    let root = root()?;
    let claim = Claim { warrant: root.payload.id, tool: TOOL, args: &args };
    let proof = Proof::sign_v1(&key(STRANGER), &claim, NOW);
    Some(asked(&chain(&[root])?, &Call::new(TOOL, &args), Credential::Proof(&proof), &[]))
}

fn proof_twice() -> Option<Verdict> {
    let args = inside()?;
    let root = root()?;
    let claim = Claim { warrant: root.payload.id, tool: TOOL, args: &args };
    let proof = Proof::sign_v1(&key(AGENT), &claim, NOW);
    let chain = chain(&[root])?;
    let mut spent = SpentMemory::new(16);
    let rules = ProofRules { accept_v1: true };
    let mut again = || {
        let admission =
            admit(&chain, &Call::new(TOOL, &args), Credential::Proof(&proof), &[], rules, NOW).ok()?;
        let proven = admission.proven?;
        Some(spent.spend(proven.key, proven.until, NOW))
    };
    again()?.ok()?;
    Some(if again()?.is_err() { ("deny", "proof-replayed") } else { ("allow", "authorised") })
}

fn relayed() -> Option<Verdict> {
    let args = inside()?;
    let root = root()?;
    let claim = Claim { warrant: root.payload.id, tool: TOOL, args: &args };
    let audience = Audience { server: "files", definition: None };
    let proof = Proof::sign_v2(&key(AGENT), &claim, &audience, [3; 16], NOW, 60);
    let call = Call { server: Some("backup"), ..Call::new(TOOL, &args) };
    Some(asked(&chain(&[root])?, &call, Credential::Proof(&proof), &[]))
}

fn approved(warrant: WarrantId, args: &Args, approver: u8, expires_at: u64) -> SignedApproval {
    let claim = Claim { warrant, tool: TOOL, args };
    let request_hash = request_hash(&claim, &public(AGENT));
    let approval = Approval {
        request_hash,
        nonce: [4; 16],
        external_id: "person".to_owned(),
        approved_at: NOW - 60,
        expires_at,
        extensions: BTreeMap::new(),
    };
    approval.sign(&key(approver))
}

/// A gated call with these approvals; one that stays held has not been approved.
fn gated(approvals: &[SignedApproval]) -> Option<Verdict> {
    let args = inside()?;
    let root = guarded()?;
    let claim = Claim { warrant: root.payload.id, tool: TOOL, args: &args };
    let proof = Proof::sign_v1(&key(AGENT), &claim, NOW);
    let (verdict, code) =
        asked(&chain(&[root])?, &Call::new(TOOL, &args), Credential::Proof(&proof), approvals);
    Some((if verdict == "hold" { "deny" } else { verdict }, code))
}

fn approval_for_other_arguments() -> Option<Verdict> {
    gated(&[approved(id(1), &args(r#"{"path": "/data/b"}"#)?, APPROVER, NOW + 60)])
}

fn under_another_warrant() -> Option<Verdict> {
    gated(&[approved(id(8), &inside()?, APPROVER, NOW + 60)])
}

fn approval_expired() -> Option<Verdict> {
    gated(&[approved(id(1), &inside()?, APPROVER, NOW)])
}

fn approval_by(approver: u8) -> Option<Verdict> {
    gated(&[approved(id(1), &inside()?, approver, NOW + 60)])
}

/// Two approvals are wanted, and one person gives both.
fn approved_twice_by_one() -> Option<Verdict> {
    let args = inside()?;
    let mut draft = draft(1, AGENT);
    draft.required_approvers = Some(vec![public(APPROVER), public(STRANGER)]);
    draft.min_approvals = Some(2);
    let chain = chain(&[mint(draft, &key(ROOT)).ok()?])?;
    let approvals = [approved(id(1), &args, APPROVER, NOW + 60), approved(id(1), &args, APPROVER, NOW + 90)];
    let decision = crate::decide::decide(&chain, &Call::new(TOOL, &args), &approvals, NOW);
    Some((if decision.outcome == Outcome::Authorised { "allow" } else { "deny" }, decision.code()))
}

fn approval_twice() -> Option<Verdict> {
    let args = inside()?;
    let chain = chain(&[guarded()?])?;
    let approvals = [approved(id(1), &args, APPROVER, NOW + 60)];
    let mut spent = SpentMemory::new(16);
    let mut again = || {
        let decision = crate::decide::decide(&chain, &Call::new(TOOL, &args), &approvals, NOW);
        let used = decision.approvals.iter().try_for_each(|it| spent.spend(it.key, it.until, NOW));
        (decision.outcome == Outcome::Authorised).then_some(used)
    };
    again()?.ok()?;
    Some(if again()?.is_err() { ("deny", "approval-consumed") } else { ("allow", "authorised") })
}

fn refused_json(text: &str) -> Option<Verdict> {
    Some(if read_args(text).is_err() { ("deny", "duplicate-key") } else { ("allow", "read") })
}

fn duplicate_argument() -> Option<Verdict> {
    refused_json(r#"{"path": "/data/ok", "path": "/etc/passwd"}"#)
}

fn open() -> Option<Verdict> {
    let mut draft = draft(1, AGENT);
    draft.tools.insert(TOOL.to_owned(), Capability::default());
    called(mint(draft, &key(ROOT)).ok()?, &Call::new(TOOL, &inside()?))
}

/// Minted only by the explicit word; the word given, it grants.
fn wildcard_tool() -> Option<Verdict> {
    let mut draft = draft(1, AGENT);
    draft.tools.insert("*".to_owned(), Capability::default());
    if mint(draft.clone(), &key(ROOT)) != Err(MintError::WildcardTool) {
        return Some(("allow", "minted without a word"));
    }
    draft.allow_wildcard_tool = true;
    let args = inside()?;
    called(mint(draft, &key(ROOT)).ok()?, &Call::new("anything", &args))
        .map(|(verdict, _)| (verdict, "only with the explicit word at mint"))
}

fn bound() -> Option<Warrant> {
    limited(Limits {
        servers: ["files".to_owned()].into(),
        definitions: [DEFINITION].into(),
        ..Limits::default()
    })
}

fn renamed() -> Option<Verdict> {
    let args = inside()?;
    let call = Call { server: Some("other"), definition: Some(&DEFINITION), ..Call::new(TOOL, &args) };
    let (verdict, _) = called(bound()?, &Call { tool: "mcp_fs_read_file", ..call })?;
    if verdict != "deny" { Some((verdict, "tool-not-granted")) } else { called(bound()?, &call) }
}

fn changed() -> Option<Verdict> {
    let args = inside()?;
    let call = Call { server: Some("files"), definition: Some(&[8; 32]), ..Call::new(TOOL, &args) };
    called(bound()?, &call)
}

fn of_another_run() -> Option<Verdict> {
    let args = inside()?;
    let warrant = limited(Limits { sandbox: Some("run-1".to_owned()), ..Limits::default() })?;
    called(warrant, &Call { sandbox: Some("run-2"), ..Call::new(TOOL, &args) })
}

fn batched() -> Option<Verdict> {
    let body = r#" [{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}]"#;
    Some(if carrier::is_batch(body) { ("deny", "batch") } else { ("allow", "read") })
}

fn duplicate_header() -> Option<Verdict> {
    let headers = [("X-Tenuo-Warrant", "gwE"), ("x-tenuo-warrant", "gwI")];
    Some(carrier::from_headers(headers).err().map_or(("allow", "read"), |error| ("deny", error.code())))
}

fn conflicting() -> Option<Verdict> {
    let carried =
        |warrant: u8| carrier::Carried { warrant: vec![warrant], proof: None, approvals: Vec::new() };
    let agreed = carrier::agree([carried(1), carried(2)]);
    Some(agreed.err().map_or(("allow", "read"), |error| ("deny", error.code())))
}

fn clock_set_back() -> Option<Verdict> {
    let mut floor = ClockFloor::default();
    floor.observe(NOW).ok()?;
    Some(if floor.observe(NOW - 7200).is_err() { ("deny", "clock-rollback") } else { ("allow", "observed") })
}

fn negative_amount() -> Option<Verdict> {
    let warrant = paying()?;
    let args = args(r#"{"amount": -1}"#)?;
    let decision = crate::decide::decide(&chain(&[warrant])?, &Call::new("pay", &args), &[], NOW);
    Some((if decision.outcome == Outcome::Authorised { "allow" } else { "deny" }, decision.code()))
}

fn paying() -> Option<Warrant> {
    let limits = Limits {
        budgets: vec![Budget {
            pool: "EUR".to_owned(),
            argument: "amount".to_owned(),
            measure: Measure::Amount,
            limit: 100_000_000,
        }],
        ..Limits::default()
    };
    let mut draft = Draft::new(id(1), public(AGENT), NOW);
    let constraints = BTreeMap::from([("amount".to_owned(), Constraint::Wildcard)]);
    let capability = Capability { constraints, limits: Some(Box::new(limits)), ..Capability::default() };
    draft.tools.insert("pay".to_owned(), capability);
    mint(draft, &key(ROOT)).ok()
}

/// A hundred euros, spent one by one by so many children that each claim all of it.
fn budget(children: u8) -> Option<Verdict> {
    let root = paying()?;
    let chains: Option<Vec<_>> = (0..children)
        .map(|number| {
            let child = forge(&root, AGENT, |payload| payload.id = id(10 + number));
            chain(&[root.clone(), child])
        })
        .collect();
    let chains = chains?;
    let args = args(r#"{"amount": 1}"#)?;
    let mut budgets = Budgets::default();
    let paid = (0..101)
        .filter(|call| {
            let chain = chains.get(call % chains.len());
            chain.is_some_and(|chain| {
                let decision = crate::decide::decide(chain, &Call::new("pay", &args), &[], NOW);
                decision.outcome == Outcome::Authorised && budgets.draw(&decision.draws).is_ok()
            })
        })
        .count();
    Some(if paid == 100 { ("deny", "budget-exhausted") } else { ("allow", "overdrawn") })
}
