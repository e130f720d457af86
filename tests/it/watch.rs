//! The inbox without a terminal: lines for a log or another program.
use crate::{
    house::{GATED, HERMA, Plan},
    pipe::{Pipe, Stage},
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send_mail","arguments":{"to":"ann"}}}"#;

async fn says(watch: &mut Pipe, words: &str) {
    let line = String::from_utf8(watch.line().await).unwrap();
    assert!(line.contains(words), "{words:?} in {line:?}");
}

#[tokio::test]
async fn it_prints_a_line_to_a_change_and_comes_back_with_the_daemon() {
    let stage = Stage::open().await;
    let mut house = Plan::default().rules(GATED).open().await;
    house.kill().await;
    let mut command = tokio::process::Command::new(HERMA);
    command.args(["holds", "watch", "--data-dir"]).arg(house.path());
    let mut watch = Pipe::spawn(command);
    says(&mut watch, "lost: no herma runs for").await;

    house.start().await;
    let mut client = house.wrap("x", &stage.command());
    let _server = stage.enter().await;
    client.send(CALL).await;
    let hold = house.held().await;
    says(&mut watch, &format!(" {hold} pending ")).await;
    house.deny("not today").await;
    says(&mut watch, &format!(" {hold} denied ")).await;
    house.kill().await;
    says(&mut watch, "lost: ").await;
}
