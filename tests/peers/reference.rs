//! The reference server: everything the official conformance suite asks of an MCP server, on the
//! official Rust SDK. What it says is in `reference.json`; here is only what it does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a peer of tests: it stops loudly")]
#![expect(deprecated, reason = "the older protocol is what most clients still speak")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::*,
    service::{RequestContext, SubscriptionContext, SubscriptionSink},
    task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

type Arguments = Map<String, Value>;

#[derive(Deserialize)]
struct Script {
    info: ServerInfo,
    tools: Value,
    answers: BTreeMap<String, Value>,
    asks: BTreeMap<String, Value>,
    rounds: BTreeMap<String, Rounds>,
    server_asks: BTreeMap<String, Value>,
    jobs: BTreeMap<String, Job>,
    resources: Value,
    templates: Value,
    documents: BTreeMap<String, Value>,
    prompts: Value,
    prompt_answers: BTreeMap<String, Value>,
}

/// A request that is answered only after the client has supplied every round's input.
#[derive(Deserialize)]
struct Rounds {
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    declared_only: bool,
    rounds: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Job {
    /// Without the tasks extension the call cannot be served at all.
    required: bool,
    #[serde(default)]
    asks: Vec<String>,
}

enum Turn {
    Ask(InputRequiredResult),
    Answered(Arguments),
}

#[derive(Clone)]
struct Reference {
    script: Arc<Script>,
    seal: RequestStateCodec,
    tasks: TaskManager,
    subscribers: Arc<Mutex<BTreeMap<u64, SubscriptionSink>>>,
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Puts the arguments of a call into `{name}` places of a scripted value.
fn filled<T: DeserializeOwned>(value: &Value, arguments: &Arguments) -> T {
    fn fill(value: &mut Value, arguments: &Arguments) {
        match value {
            Value::String(text) => {
                for (name, argument) in arguments {
                    let argument = argument.as_str().map_or(argument.to_string(), str::to_owned);
                    *text = text.replace(&format!("{{{name}}}"), &argument);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| fill(item, arguments)),
            Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, arguments)),
            _ => {}
        }
    }
    let mut value = value.clone();
    fill(&mut value, arguments);
    typed(&value)
}

fn said(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}

impl Reference {
    fn new() -> Self {
        Self {
            script: Arc::new(serde_json::from_str(include_str!("reference.json")).unwrap()),
            seal: RequestStateCodec::new(*b"a key that only this test peer ever uses"),
            tasks: TaskManager::new(),
            subscribers: Arc::default(),
        }
    }

    /// Where a request that needs input stands: what to ask next, or what was answered.
    fn turn(
        &self,
        name: &str,
        state: Option<&str>,
        responses: Option<&InputResponses>,
        capabilities: &ClientCapabilities,
    ) -> Result<Turn, ErrorData> {
        let Some(plan) = self.script.rounds.get(name) else {
            return Err(ErrorData::invalid_params(format!("nothing called {name}"), None));
        };
        let round = match state {
            Some(sealed) if plan.sealed => self
                .seal
                .open_json::<usize>(sealed)
                .map_err(|_| ErrorData::invalid_params("this requestState is not mine", None))?,
            _ => 0,
        };
        let declared = |key: &&String| {
            let method = self.script.asks.get(*key).and_then(|ask| ask.get("method"));
            !plan.declared_only
                || match method.and_then(Value::as_str) {
                    Some("elicitation/create") => capabilities.elicitation.is_some(),
                    Some("sampling/createMessage") => capabilities.sampling.is_some(),
                    _ => capabilities.roots.is_some(),
                }
        };
        let given: Arguments = responses
            .into_iter()
            .flatten()
            .filter(|(_, response)| response.is_object())
            .map(|(key, response)| (key.clone(), response.clone()))
            .collect();
        let open = |round: &Vec<String>| round.iter().filter(declared).any(|key| !given.contains_key(key));
        let begun = state.is_some() || !plan.sealed;
        let next = match plan.rounds.get(round) {
            Some(asked) if !begun || open(asked) => round,
            Some(_) => round + 1,
            None => return Ok(Turn::Answered(given)),
        };
        let Some(keys) = plan.rounds.get(next) else {
            return Ok(Turn::Answered(given));
        };
        let asks = keys.iter().filter(declared).map(|key| (key.clone(), self.ask(key))).collect();
        let state = plan.sealed.then(|| self.seal.seal_json(&next).unwrap());
        Ok(Turn::Ask(InputRequiredResult::new(Some(asks), state)))
    }

    fn ask(&self, key: &str) -> InputRequest {
        self.script.asks.get(key).map(typed).unwrap_or_else(|| panic!("no ask named {key}"))
    }

    async fn run_job(
        &self,
        name: &str,
        arguments: Arguments,
        task: Option<TaskContext>,
    ) -> Result<CallToolResult, TaskExit> {
        if let (Some(task), Some(job)) = (&task, self.script.jobs.get(name)) {
            let asked = job.asks.iter().map(|key| task.request_input(key.clone(), self.ask(key)));
            let given = futures_util::future::try_join_all(asked).await?;
            if !given.is_empty() {
                return Ok(said(json!(given).to_string()));
            }
        }
        let pause = match name {
            "slow_compute" => arguments.get("seconds").and_then(Value::as_f64).unwrap_or(1.0),
            "failing_job" => 1.0,
            _ => 0.2,
        };
        let cancelled = async {
            match &task {
                Some(task) => task.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancelled => return Err(TaskExit::Cancelled),
            () = tokio::time::sleep(Duration::from_secs_f64(pause)) => {}
        }
        match name {
            "failing_job" => Ok(CallToolResult::error(vec![ContentBlock::text("it did not work")])),
            "protocol_error_job" => Err(TaskExit::Error(ErrorData::internal_error("the job broke", None))),
            _ => Ok(said(format!("{name} is done: {}", json!(arguments)))),
        }
    }

    async fn call_job(
        &self,
        name: String,
        arguments: Arguments,
        tasks_declared: bool,
    ) -> Result<CallToolResponse, ErrorData> {
        if tasks_declared {
            let peer = self.clone();
            let task = self.tasks.spawn(TaskOptions::default(), move |task| {
                Box::pin(async move { peer.run_job(&name, arguments, Some(task)).await })
            });
            return Ok(CreateTaskResult::new(task).into());
        }
        match self.run_job(&name, arguments, None).await {
            Ok(result) => Ok(result.into()),
            Err(TaskExit::Error(error)) => Err(error),
            Err(_) => Err(ErrorData::internal_error("the job was cancelled", None)),
        }
    }

    /// The way of older clients: the server asks while the call is open.
    async fn ask_client(
        &self,
        name: &str,
        arguments: &Arguments,
        cx: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let Some(request) = self.script.server_asks.get(name) else {
            panic!("no request named {name}");
        };
        let request: ServerRequest = filled(request, arguments);
        match cx.peer.send_request(request).await {
            Ok(answer) => said(json!(answer).to_string()),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
        }
    }

    async fn log(&self, level: LoggingLevel, text: &str, cx: &RequestContext<RoleServer>) {
        let message = LoggingMessageNotificationParam::new(level, json!(text));
        cx.peer.notify_logging_message(message.with_logger("reference")).await.unwrap_or_default();
    }

    async fn announce(&self, tools: bool) {
        let subscribers: Vec<_> = self.subscribers.lock().unwrap().values().cloned().collect();
        for subscriber in subscribers {
            // A subscriber that has just gone needs no news.
            let _gone = match tools {
                true => subscriber.notify_tool_list_changed().await.is_err(),
                false => subscriber.notify_prompt_list_changed().await.is_err(),
            };
        }
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        cx: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let capabilities = cx.client_capabilities().unwrap_or_default();
        let declared = cx.meta.client_capabilities().unwrap_or_default();
        let arguments = request.arguments.unwrap_or_default();
        if let Some(job) = self.script.jobs.get(name)
            && job.required
            && !capabilities.supports_tasks()
        {
            let needed = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(needed));
        }
        if self.script.rounds.contains_key(name) {
            let state = request.request_state.as_deref();
            let responses = request.input_responses.as_ref();
            match self.turn(name, state, responses, &declared)? {
                Turn::Ask(ask) => return Ok(ask.into()),
                Turn::Answered(given) if self.script.jobs.contains_key(name) => {
                    return self.call_job(name.to_owned(), given, true).await;
                }
                Turn::Answered(given) => {
                    return Ok(said(format!("state-ok {}", json!(given))).into());
                }
            }
        }
        if self.script.jobs.contains_key(name) {
            return self.call_job(name.to_owned(), arguments, capabilities.supports_tasks()).await;
        }
        if self.script.server_asks.contains_key(name) {
            return Ok(self.ask_client(name, &arguments, cx).await.into());
        }
        if let Some(answer) = self.script.answers.get(name) {
            return Ok(filled::<CallToolResult>(answer, &arguments).into());
        }
        match name {
            "test_tool_with_logging" => {
                for text in ["it starts", "it works", "it ends"] {
                    self.log(LoggingLevel::Info, text, cx).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            "test_logging_tool" => {
                if let Some(level) = cx.meta.log_level() {
                    self.log(level, "a level was asked for", cx).await;
                }
            }
            "test_tool_with_progress" => {
                for progress in [0.0, 50.0, 100.0] {
                    if let Some(token) = cx.meta.get_progress_token() {
                        let step = ProgressNotificationParam::new(token, progress).with_total(100.0);
                        cx.peer.notify_progress(step).await.unwrap_or_default();
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            "test_custom_header" => {
                let Some(value) = arguments.get("value").and_then(Value::as_str) else {
                    return Err(ErrorData::invalid_params("value must be text", None));
                };
                return Ok(said(value).into());
            }
            "test_reconnection" => tokio::time::sleep(Duration::from_millis(100)).await,
            "test_trigger_tool_change" => self.announce(true).await,
            "test_trigger_prompt_change" => self.announce(false).await,
            "test_missing_capability" if declared.sampling.is_none() => {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            "test_missing_capability" => {}
            _ => {
                return Err(ErrorData::invalid_params(format!("no tool named {name}"), None));
            }
        }
        Ok(said(format!("{name} is done")).into())
    }
}

impl ServerHandler for Reference {
    fn get_info(&self) -> ServerInfo {
        self.script.info.clone()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        // Only a tool with header parameters has to be known to the transport.
        let tools = typed::<ListToolsResult>(&self.script.tools).tools;
        tools.into_iter().find(|tool| tool.name == name && name == "test_custom_header")
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let info = self.get_info();
        Ok(InitializeResult::new(info.capabilities)
            .with_protocol_version(request.protocol_version)
            .with_server_info(info.server_info))
    }

    async fn ping(&self, _cx: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.script.info.capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = {
            let mut subscribers = self.subscribers.lock().unwrap();
            let key = subscribers.last_key_value().map_or(0, |(last, _)| last + 1);
            subscribers.insert(key, context.sink().clone());
            key
        };
        context.cancelled().await;
        self.subscribers.lock().unwrap().remove(&key);
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(typed(&self.script.tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &cx).await
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(typed(&self.script.resources))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(typed(&self.script.templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        if let Some(document) = self.script.documents.get(uri) {
            return Ok(typed::<ReadResourceResult>(document).into());
        }
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let Some(id) = id else {
            let missing = Some(json!({ "uri": uri }));
            return Err(ErrorData::resource_not_found(format!("nothing at {uri}"), missing));
        };
        let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
        let contents = json!([{"uri": uri, "mimeType": "application/json", "text": text.to_string()}]);
        let document = json!({
            "resultType": "complete", "contents": contents, "ttlMs": 60_000, "cacheScope": "public"
        });
        Ok(typed::<ReadResourceResult>(&document).into())
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(typed(&self.script.prompts))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let name = request.name.as_str();
        if self.script.rounds.contains_key(name) {
            let state = request.request_state.as_deref();
            let declared = cx.meta.client_capabilities().unwrap_or_default();
            let responses = request.input_responses.as_ref();
            if let Turn::Ask(ask) = self.turn(name, state, responses, &declared)? {
                return Ok(ask.into());
            }
        }
        let Some(answer) = self.script.prompt_answers.get(name) else {
            return Err(ErrorData::invalid_params(format!("no prompt named {name}"), None));
        };
        let arguments = json!(request.arguments.unwrap_or_default());
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        Ok(filled::<GetPromptResult>(answer, &arguments).into())
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = vec!["alpha".to_owned(), "beta".to_owned()];
        let values = CompletionInfo::new(values);
        Ok(CompleteResult::new(values.map_err(|error| ErrorData::internal_error(error, None))?))
    }
}

#[tokio::main]
async fn main() {
    let reference = Reference::new();
    let service = StreamableHttpService::new(
        move || Ok(reference.clone()),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://localhost:{}/mcp", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service.clone();
        let answer = hyper::service::service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
        });
        let io = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, answer));
    }
}
