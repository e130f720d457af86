//! Calls that ran because they can be taken back, and people who take them back.
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    house::{House, Plan},
    packages,
    pipe::Pipe,
    servers::Session,
    wire::{Upstream, soon},
};

/// Everything the server does is looked at afterwards.
pub(crate) const LOOK: &str = r#"
[[rule]]
id = "look"
server = "files"
tool = "*"
route = "review"
"#;

enum Client {
    Pipe(Box<Pipe>),
    Http(Session),
}

/// An agent, a real server behind Herma, and the ground it works on.
pub(crate) struct Scene {
    pub(crate) house: House,
    client: Client,
    asked: i64,
    pub(crate) root: PathBuf,
    _ground: TempDir,
    _behind: Option<House>,
}

pub(crate) fn filesystem(root: &Path) -> Vec<String> {
    let mut command = packages::npm("mcp-server-filesystem");
    command.push(root.to_str().unwrap().to_owned());
    command
}

impl Scene {
    fn ground() -> (TempDir, PathBuf) {
        let ground = tempfile::tempdir().unwrap();
        let root = ground.path().canonicalize().unwrap();
        (ground, root)
    }

    pub(crate) async fn wrapped(
        rules: &str,
        server: impl Fn(&Path) -> Vec<String>,
        env: &[(&str, &str)],
    ) -> Self {
        Self::wrapped_by(Plan::default().rules(rules), server, env).await
    }

    async fn wrapped_by(plan: Plan, server: impl Fn(&Path) -> Vec<String>, env: &[(&str, &str)]) -> Self {
        let (ground, root) = Self::ground();
        let house = plan.open().await;
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, root.join(file))).collect();
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, file.to_str().unwrap())).collect();
        let mut pipe = house.wrap_with("files", &server(&root), &env);
        pipe.initialize().await;
        Self { house, client: Client::Pipe(pipe.into()), asked: 0, root, _ground: ground, _behind: None }
    }

    async fn bridged(rules: &str, server: impl Fn(&Path) -> Vec<String>, env: &[(&str, &str)]) -> Self {
        let (ground, root) = Self::ground();
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, root.join(file))).collect();
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, file.to_str().unwrap())).collect();
        let house = Plan::default().command("files", &server(&root), &env).rules(rules).open().await;
        let (session, _) = Session::start(house.endpoint("files")).await;
        Self { house, client: Client::Http(session), asked: 0, root, _ground: ground, _behind: None }
    }

    /// The server is somebody else's, and reached by its URL.
    async fn by_url(
        rules: &str,
        server: impl Fn(&Path) -> Vec<String>,
        env: &[(&str, &str)],
        shares_files: bool,
    ) -> Self {
        let (ground, root) = Self::ground();
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, root.join(file))).collect();
        let env: Vec<_> = env.iter().map(|(name, file)| (*name, file.to_str().unwrap())).collect();
        let open = crate::house::OPEN;
        let behind = Plan::default().command("files", &server(&root), &env).rules(open).open().await;
        let files = if shares_files { format!("files = [{root:?}]") } else { String::new() };
        let url = behind.endpoint("files").url;
        let house = Plan::default().url_with("files", &url, &files).rules(rules).open().await;
        let (session, _) = Session::start(house.endpoint("files")).await;
        Self { house, client: Client::Http(session), asked: 0, root, _ground: ground, _behind: Some(behind) }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.root.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap()
    }

    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.asked += 1;
        let params = json!({ "name": tool, "arguments": arguments });
        match &mut self.client {
            Client::Pipe(pipe) => pipe.ask(self.asked, "tools/call", params).await,
            Client::Http(session) => session.ask(self.asked, "tools/call", params).await,
        }
    }

    pub(crate) async fn write(&mut self, name: &str, content: &str) -> Value {
        self.call("write_file", json!({ "path": self.at(name), "content": content })).await
    }

    async fn reviews(&self, all: bool) -> Vec<Value> {
        reviews(&self.house, all).await
    }

    /// The newest review of a tool, once its call has ended.
    pub(crate) async fn review_of(&self, tool: &str) -> String {
        soon("a review", async {
            loop {
                let rows = self.reviews(true).await;
                let newest = rows.iter().find(|row| row["tool"] == tool).cloned().unwrap_or_default();
                if let Some(id) = newest["id"].as_str() {
                    let shown = self.show(id).await;
                    if !shown["plan"]["conflicts"].to_string().contains("not known") {
                        return id.to_owned();
                    }
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
        .await
    }

    async fn show(&self, id: &str) -> Value {
        let output = self.house.cli(&["review", "show", id, "--json"]).await;
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// What the command said, and its exit code.
    async fn revert(&self, id: &str) -> (Option<i32>, String) {
        let output = self.house.cli(&["review", "revert", id]).await;
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    async fn reverted(&self, id: &str) {
        let (code, said) = self.revert(id).await;
        assert!(code == Some(0) && said.contains("reverted"), "{said}");
    }
}

async fn reviews(house: &House, all: bool) -> Vec<Value> {
    let mut arguments = vec!["review", "list", "--json"];
    arguments.extend(all.then_some("--all"));
    let output = house.cli(&arguments).await;
    let rows = serde_json::from_slice::<Value>(&output.stdout);
    rows.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
        .as_array()
        .unwrap()
        .clone()
}

/// A written and then edited file goes back step by step, and its agent learns of it.
async fn edits_are_taken_back(mut scene: Scene) {
    std::fs::write(scene.root.join("a.txt"), "first\n").unwrap();
    let answer = scene.write("a.txt", "second\n").await;
    assert_eq!(answer["result"].get("isError"), None, "{answer}");
    let write = scene.review_of("write_file").await;
    let edits = json!([{ "oldText": "second", "newText": "third" }]);
    scene.call("edit_file", json!({ "path": scene.at("a.txt"), "edits": edits })).await;
    let edit = scene.review_of("edit_file").await;
    assert_eq!(scene.read("a.txt"), "third\n");
    let shown = scene.show(&edit).await;
    let did = shown["plan"]["files"][0]["did"].as_str().unwrap();
    assert!(did.contains("-second") && did.contains("+third"), "{did}");

    // Not out of order: the later call's work would be lost unseen.
    let (code, said) = scene.revert(&write).await;
    assert!(code == Some(3) && said.contains(&edit), "{said}");
    assert_eq!(scene.read("a.txt"), "third\n");

    scene.reverted(&edit).await;
    assert_eq!(scene.read("a.txt"), "second\n");
    scene.reverted(&write).await;
    assert_eq!(scene.read("a.txt"), "first\n");
    scene.reverted(&write).await;

    let answer = scene.write("new.txt", "x").await;
    let told = answer["result"]["content"].to_string();
    assert!(told.contains("[Herma] A person") && told.contains("a.txt as before"), "{answer}");
    let answer = scene.write("new.txt", "y").await;
    assert!(!answer.to_string().contains("[Herma]"), "said twice: {answer}");

    let record = scene.house.cli(&["audit", "tail", "--json"]).await.stdout;
    let record = String::from_utf8(record).unwrap();
    assert!(record.contains("put_back") && record.contains("operator:"), "{record}");
}

#[tokio::test]
async fn edits_of_the_filesystem_server_are_taken_back_behind_wrap() {
    edits_are_taken_back(Scene::wrapped(LOOK, filesystem, &[]).await).await;
}

#[tokio::test]
async fn edits_of_the_filesystem_server_are_taken_back_when_herma_starts_it() {
    edits_are_taken_back(Scene::bridged(LOOK, filesystem, &[]).await).await;
}

#[tokio::test]
async fn edits_of_the_filesystem_server_are_taken_back_when_it_is_reached_by_url() {
    edits_are_taken_back(Scene::by_url(LOOK, filesystem, &[], true).await).await;
}

#[tokio::test]
async fn new_files_directories_and_moves_are_taken_back() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    std::fs::write(scene.root.join("here.txt"), "kept").unwrap();
    scene.write("new.txt", "x").await;
    let new = scene.review_of("write_file").await;
    scene.call("create_directory", json!({ "path": scene.at("one/two/three") })).await;
    let directory = scene.review_of("create_directory").await;
    let paths = json!({ "source": scene.at("here.txt"), "destination": scene.at("there.txt") });
    scene.call("move_file", paths).await;
    let moved = scene.review_of("move_file").await;
    assert!(scene.root.join("there.txt").exists() && scene.root.join("one/two/three").exists());
    for id in [new, directory, moved] {
        scene.reverted(&id).await;
    }
    let left: Vec<_> =
        std::fs::read_dir(&scene.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["here.txt"]);
    assert_eq!(scene.read("here.txt"), "kept");
}

#[tokio::test]
async fn a_file_that_somebody_changed_since_is_left_alone_and_shown_three_times() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    std::fs::write(scene.root.join("a.txt"), "first\n").unwrap();
    scene.write("a.txt", "second\n").await;
    let id = scene.review_of("write_file").await;
    std::fs::write(scene.root.join("a.txt"), "mine\n").unwrap();
    let (code, said) = scene.revert(&id).await;
    assert!(code == Some(3) && said.contains("changed since the call"), "{said}");
    assert_eq!(scene.read("a.txt"), "mine\n");
    let file = &scene.show(&id).await["plan"]["files"][0];
    let hashes = ["before", "after", "now"].map(|state| file[state]["sha256"].to_string());
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{file}");
    assert!(file["since"].as_str().unwrap().contains("+mine"), "{file}");
    // A plan that was made for another state of things is not carried out either.
    std::fs::write(scene.root.join("a.txt"), "second\n").unwrap();
    let output = scene.house.cli(&["review", "revert", &id, "--plan", "0123456789abcdef"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("look at it again"));
    assert_eq!(scene.read("a.txt"), "second\n");
    scene.reverted(&id).await;
    assert_eq!(scene.read("a.txt"), "first\n");
}

#[tokio::test]
async fn a_link_put_in_the_way_before_a_revert_is_not_followed() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    std::fs::create_dir(scene.root.join("sub")).unwrap();
    std::fs::write(scene.root.join("sub/a.txt"), "first").unwrap();
    scene.write("sub/a.txt", "second").await;
    let id = scene.review_of("write_file").await;
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("a.txt"), "second").unwrap();
    std::fs::rename(scene.root.join("sub"), scene.root.join("moved")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), scene.root.join("sub")).unwrap();
    let (code, said) = scene.revert(&id).await;
    assert!(code == Some(3) && said.contains("a link"), "{said}");
    assert_eq!(std::fs::read_to_string(elsewhere.path().join("a.txt")).unwrap(), "second");
}

#[tokio::test]
async fn a_link_put_in_the_way_while_a_call_is_held_refuses_the_call() {
    let gated = LOOK.replace("review", "gate");
    let mut scene = Scene::wrapped(&gated, filesystem, &[]).await;
    std::fs::create_dir(scene.root.join("sub")).unwrap();
    let elsewhere = scene.root.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let root = scene.root.clone();
    let path = scene.at("sub/a.txt");
    let Client::Pipe(pipe) = &mut scene.client else { panic!("a pipe") };
    let house = &scene.house;
    let params = json!({ "name": "write_file", "arguments": { "path": path, "content": "x" } });
    let swap = async {
        house.held().await;
        std::fs::remove_dir(root.join("sub")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("sub")).unwrap();
        house.approve().await;
    };
    let (answer, ()) = tokio::join!(pipe.ask(1, "tools/call", params), swap);
    assert!(answer.to_string().contains("CHANGED"), "{answer}");
    assert!(!elsewhere.join("a.txt").exists());
}

#[tokio::test]
async fn a_call_whose_file_cannot_be_kept_waits_for_a_person() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    std::fs::write(scene.root.join("real.txt"), "first").unwrap();
    std::os::unix::fs::symlink(scene.root.join("real.txt"), scene.root.join("link.txt")).unwrap();
    let path = scene.at("link.txt");
    for path in [path.as_str(), "real.txt"] {
        let house = &scene.house;
        scene.asked += 1;
        let Client::Pipe(pipe) = &mut scene.client else { panic!("a pipe") };
        let params = json!({ "name": "write_file", "arguments": { "path": path, "content": "x" } });
        let (answer, ()) =
            tokio::join!(pipe.ask(scene.asked, "tools/call", params), house.deny("not through a link"));
        assert!(answer.to_string().contains("DENIED"), "{answer}");
    }
    assert_eq!(scene.read("real.txt"), "first");
    assert!(scene.reviews(true).await.is_empty());
}

#[tokio::test]
async fn files_of_another_machine_are_not_offered_to_be_put_back() {
    let mut scene = Scene::by_url(LOOK, filesystem, &[], false).await;
    let path = scene.at("a.txt");
    let Client::Http(session) = &mut scene.client else { panic!("over HTTP") };
    let params = json!({ "name": "write_file", "arguments": { "path": path, "content": "x" } });
    let (answer, ()) = tokio::join!(session.ask(1, "tools/call", params), scene.house.deny("no undo"));
    assert!(answer.to_string().contains("no undo"), "{answer}");
    assert!(scene.reviews(true).await.is_empty());
}

#[tokio::test]
async fn a_server_that_writes_where_nobody_sees_it_is_believed_once() {
    let house = Plan::default().rules(LOOK).open().await;
    let stage = crate::pipe::Stage::open().await;
    let mut pipe = house.wrap("files", &stage.command());
    let mut actor = stage.enter().await;
    let write = |id: i64| {
        let path = house.path().join("not-here.txt");
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "write_file", "arguments": { "path": path, "content": "x" } } })
    };
    pipe.send(&write(1).to_string()).await;
    actor.line().await;
    actor.say(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#).await;
    pipe.json().await;
    let id = reviews(&house, true).await[0]["id"].as_str().unwrap().to_owned();
    soon("the call to end", async {
        loop {
            let output = house.cli(&["review", "revert", &id]).await;
            if String::from_utf8_lossy(&output.stdout).contains("the server works on other files") {
                assert_eq!(output.status.code(), Some(3));
                return;
            }
        }
    })
    .await;
    pipe.send(&write(2).to_string()).await;
    house.deny("not unseen").await;
    assert!(pipe.json().await.to_string().contains("not unseen"));
}

#[tokio::test]
async fn a_call_that_failed_and_changed_nothing_asks_nobody() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    std::fs::write(scene.root.join("a.txt"), "first\n").unwrap();
    let edits = json!([{ "oldText": "not there", "newText": "third" }]);
    let answer = scene.call("edit_file", json!({ "path": scene.at("a.txt"), "edits": edits })).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    soon("the queue to be empty", async {
        while !scene.reviews(false).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
    assert_eq!(scene.reviews(true).await[0]["state"], "accepted");
}

fn memory(_root: &Path) -> Vec<String> {
    packages::npm("mcp-server-memory")
}

/// What the memory server has noted is removed by its own tools.
async fn notes_are_taken_back(mut scene: Scene) {
    let entity = |name: &str| json!({ "name": name, "entityType": "person", "observations": [] });
    scene.call("create_entities", json!({ "entities": [entity("Ann")] })).await;
    let _stays = scene.review_of("create_entities").await;
    // Ann is there already: taking this back must not take her.
    scene.call("create_entities", json!({ "entities": [entity("Ann"), entity("Ben")] })).await;
    let entities = scene.review_of("create_entities").await;
    let observed = json!({ "entityName": "Ann", "contents": ["likes tea"] });
    scene.call("add_observations", json!({ "observations": [observed] })).await;
    let observations = scene.review_of("add_observations").await;
    let relation = json!({ "from": "Ann", "to": "Ann", "relationType": "knows" });
    scene.call("create_relations", json!({ "relations": [relation] })).await;
    let relations = scene.review_of("create_relations").await;
    assert!(["Ben", "likes tea", "knows"].iter().all(|word| scene.read("memory.jsonl").contains(word)));
    for (id, word) in [(relations, "knows"), (observations, "likes tea"), (entities, "Ben")] {
        scene.reverted(&id).await;
        assert!(!scene.read("memory.jsonl").contains(word), "{word}");
    }
    assert!(scene.read("memory.jsonl").contains("Ann"));
}

const MEMORY: [(&str, &str); 1] = [("MEMORY_FILE_PATH", "memory.jsonl")];

#[tokio::test]
async fn notes_of_the_memory_server_are_taken_back_behind_wrap() {
    notes_are_taken_back(Scene::wrapped(LOOK, memory, &MEMORY).await).await;
}

#[tokio::test]
async fn notes_of_the_memory_server_are_taken_back_when_herma_starts_it() {
    notes_are_taken_back(Scene::bridged(LOOK, memory, &MEMORY).await).await;
}

#[tokio::test]
async fn notes_of_the_memory_server_are_taken_back_when_it_is_reached_by_url() {
    notes_are_taken_back(Scene::by_url(LOOK, memory, &MEMORY, false).await).await;
}

const DELETED: &str = r#"
[[tool]]
id = "notes.delete"
reason = "Deletes notes"
tools = ["delete_entities"]
effect = "lose"
match = [{ server = "x", tool = "delete_entities", args = { entityNames = [] } }]
[tool.undo]
kind = "compensate"
[tool.undo.before]
tool = "open_nodes"
args = { names = { from = "/args/entityNames" } }
[tool.undo.call]
tool = "create_entities"
args = { entities = { from = "/before/entities" } }
[[tool.undo.example]]
before = { entities = [{ name = "Ann" }] }
becomes = { tool = "create_entities", args = { entities = [{ name = "Ann" }] } }
"#;

#[tokio::test]
async fn a_deleted_note_comes_back_as_it_was_read_before() {
    let look = LOOK.replace(r#""*""#, r#""*_entities""#);
    let plan = Plan::default().pack(DELETED).rules(&look);
    let mut scene = Scene::wrapped_by(plan, memory, &MEMORY).await;
    let entity = json!({ "name": "Ann", "entityType": "person", "observations": ["likes tea"] });
    scene.call("create_entities", json!({ "entities": [entity] })).await;
    let answer = scene.call("delete_entities", json!({ "entityNames": ["Ann"] })).await;
    assert!(answer.to_string().contains("deleted successfully"), "{answer}");
    let id = scene.review_of("delete_entities").await;
    assert!(!scene.read("memory.jsonl").contains("Ann"));
    scene.reverted(&id).await;
    assert!(scene.read("memory.jsonl").contains("likes tea"));
    let record = String::from_utf8(scene.house.cli(&["audit", "tail", "--json"]).await.stdout).unwrap();
    assert!(record.contains("open_nodes"), "what Herma reads for itself is on the record: {record}");
}

#[tokio::test]
async fn what_a_server_noted_is_not_taken_back_when_it_is_gone() {
    let mut scene = Scene::wrapped(LOOK, memory, &MEMORY).await;
    let entity = json!({ "name": "Ann", "entityType": "person", "observations": [] });
    scene.call("create_entities", json!({ "entities": [entity] })).await;
    let id = scene.review_of("create_entities").await;
    let Client::Pipe(pipe) = &mut scene.client else { panic!("a pipe") };
    pipe.hang_up();
    soon("the wrapper to end", pipe.child.wait()).await.unwrap();
    let (code, said) = scene.revert(&id).await;
    assert!(code == Some(1) && said.contains("not connected"), "{said}");
    assert!(scene.read("memory.jsonl").contains("Ann"));
}

#[tokio::test]
async fn an_objection_makes_the_next_call_wait() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    scene.write("a.txt", "x").await;
    let id = scene.review_of("write_file").await;
    let flagged = scene.house.cli(&["review", "flag", &id, "--reason", "not in this project"]).await;
    assert!(flagged.status.success());
    let Client::Pipe(pipe) = &mut scene.client else { panic!("a pipe") };
    let params =
        json!({ "name": "write_file", "arguments": { "path": scene.root.join("b.txt"), "content": "x" } });
    let (answer, ()) = tokio::join!(pipe.ask(7, "tools/call", params.clone()), scene.house.deny("no more"));
    assert!(answer.to_string().contains("no more"), "{answer}");
    scene.reverted(&id).await;
    assert!(!scene.root.join("a.txt").exists());
    scene.house.cli(&["review", "unflag", "files", "write_file"]).await;
    scene.write("b.txt", "x").await;
    assert_eq!(scene.read("b.txt"), "x");
}

#[tokio::test]
async fn only_a_sample_of_well_known_tools_asks_for_a_look_and_all_can_be_taken_back() {
    let rules = format!("{LOOK}\n[review]\nfirst = 1\nshare = 0.0\n");
    let mut scene = Scene::wrapped(&rules, filesystem, &[]).await;
    for name in ["a.txt", "b.txt", "c.txt"] {
        scene.write(name, "x").await;
        scene.review_of("write_file").await;
    }
    assert_eq!(scene.reviews(false).await.len(), 1);
    let all = scene.reviews(true).await;
    let states: Vec<_> = all.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["kept", "kept", "open"]);
    scene.reverted(all[0]["id"].as_str().unwrap()).await;
    assert!(!scene.root.join("c.txt").exists());
    let first = all[2]["id"].as_str().unwrap();
    assert!(scene.house.cli(&["review", "accept", first]).await.status.success());
    assert!(scene.reviews(false).await.is_empty());
    let (_, said) = scene.revert(first).await;
    assert!(said.contains("no longer kept"), "{said}");
}

#[tokio::test]
async fn a_whole_group_is_accepted_at_once() {
    let mut scene = Scene::wrapped(LOOK, filesystem, &[]).await;
    for name in ["a.txt", "b.txt"] {
        scene.write(name, "x").await;
    }
    scene.call("create_directory", json!({ "path": scene.at("d") })).await;
    let id = scene.review_of("write_file").await;
    let output = scene.house.cli(&["review", "accept", &id, "--group"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let rest = scene.reviews(false).await;
    assert!(rest.len() == 1 && rest[0]["tool"] == "create_directory", "{rest:?}");
}

const DELAYED: &str = r#"
[[tool]]
id = "post.later"
reason = "Posts a note"
tools = ["post_note"]
effect = "change"
undo = { kind = "delay", seconds = 30 }
match = [{ server = "x", tool = "post_note", args = {} }]

[[tool]]
id = "post.soon"
reason = "Posts a note"
tools = ["post_soon"]
effect = "change"
undo = { kind = "delay", seconds = 1 }
match = [{ server = "x", tool = "post_soon", args = {} }]
"#;

#[tokio::test]
async fn a_delayed_call_runs_unless_somebody_stops_it() {
    let upstream = Upstream::open().await;
    let rules = LOOK.replace("files", "x");
    let house = Plan::default().pack(DELAYED).url("x", &upstream.url).rules(&rules).open().await;
    let log = upstream.answer_everything();
    let client = house.endpoint("x");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"post_note","arguments":{"text":"hello"}}}"#;
    let stop = async {
        let delayed = soon("the call to be listed", async {
            loop {
                if let Some(row) = reviews(&house, false).await.first() {
                    return row.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(delayed["state"], "delayed");
        let listed = house.cli(&["review", "list"]).await.stdout;
        assert!(String::from_utf8(listed).unwrap().contains("unless stopped"));
        let stopped = house.cli(&["review", "stop", delayed["id"].as_str().unwrap()]).await;
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    };
    let (answer, ()) = tokio::join!(async { client.post(call).await.json().await }, stop);
    assert!(answer.to_string().contains("stopped before it ran"), "{answer}");
    assert_eq!(log.calls(), 0);
    let answer = client.post(call.replace("post_note", "post_soon")).await.json().await;
    assert_eq!((log.calls(), answer["result"]["content"][0]["text"].as_str()), (1, Some("ran")));
    assert!(reviews(&house, false).await.is_empty());
}
