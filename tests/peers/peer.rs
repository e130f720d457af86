//! A stdio server without a will of its own: everything it reads goes to the test that owns it,
//! and the test says what it writes, where, and when it dies.
//!
//! Argument: the address of the test. First it sends its process id as a line, then its raw
//! standard input. It receives `kind, length, bytes`: `o` standard output, `e` standard error,
//! `x` exit with the first byte as code. A second argument names a program to leave running beside it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a peer of tests: it stops loudly")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio, exit},
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap();
    let mut test = TcpStream::connect(address).unwrap();
    test.set_nodelay(true).unwrap();
    let grandchild = arguments
        .next()
        .map(|program| Command::new(program).arg("600").stdin(Stdio::null()).spawn().unwrap().id());
    writeln!(test, "{} {}", std::process::id(), grandchild.unwrap_or_default()).unwrap();

    let mut input = test.try_clone().unwrap();
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut std::io::stdin(), &mut input);
        // End of input, or the test is gone: either way there is nobody left to serve.
        exit(i32::from(copied.is_err()));
    });

    let mut head = [0; 5];
    while test.read_exact(&mut head).is_ok() {
        let [kind, length @ ..] = head;
        let mut bytes = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
        test.read_exact(&mut bytes).unwrap();
        match kind {
            b'o' => {
                let mut out = std::io::stdout();
                out.write_all(&bytes).and_then(|()| out.flush()).unwrap_or_else(|_| exit(0));
            }
            b'e' => std::io::stderr().write_all(&bytes).unwrap_or_default(),
            b'x' => exit(bytes.first().copied().unwrap_or_default().into()),
            _ => panic!("no such kind: {kind}"),
        }
    }
}
