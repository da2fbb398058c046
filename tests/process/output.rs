//! Output of the tool as text, on a terminal, as completions and as man pages.

use responses_client::testing::{Script, Turn};
use serde_json::{Value, json};

use crate::support::{
    BOTH, server,
    tool::{command, ran, run},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

fn message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

#[tokio::test]
async fn c247_text_is_the_answers_and_nothing_else() {
    for transport in BOTH {
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let refusal = json!({"type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "refusal", "refusal": "No."}]});
        let script = Script::new()
            .turn(Turn::text("Hello\n"))
            .turn(Turn::output([message("one"), message("two")]))
            .turn(Turn::text("unstreamed").unstreamed())
            .turn(Turn::output([refusal]))
            .turn(Turn::output([call]))
            .turn(Turn::incomplete([message("cut")], "max_output_tokens"))
            .turn(Turn::error(400, "invalid_prompt", "no good"));
        for args in [&["--text"][..], &["--text", "--quiet"]] {
            let server = server(script.clone()).await;
            let mut client = run(&server.url(), args);
            client.args(["--transport", transport.as_str()]).env("OPENAI_API_KEY", "key");
            let ran = ran(client, &[HI; 7]).await;
            assert_eq!(ran.code, Some(1), "{}", ran.stderr);
            let expected = ["Hello", "one", "two", "unstreamed", "No.", "cut"];
            assert_eq!(ran.lines, expected, "{}", ran.stderr);
            let said: Vec<&str> = ran.stderr.lines().collect();
            assert_eq!(said.len(), 3, "{said:#?}");
            assert!(said[0].contains("turn 5: the model calls tools"), "{said:#?}");
            assert!(said[1].contains("turn 6: the answer is incomplete (max_output"), "{said:#?}");
            assert!(said[2].contains("turn 7: ") && said[2].contains("no good"), "{said:#?}");
        }
    }
}

/// Returns what `responses run` writes to a terminal.
#[cfg(target_os = "linux")]
async fn on_terminal(url: &str, args: &str, variables: &[(&str, &str)]) -> String {
    let tool = env!("CARGO_BIN_EXE_responses");
    let mut script = tokio::process::Command::new("script");
    let command = format!("'{tool}' run --base-url {url} {args}");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    script.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    script.envs(variables.iter().copied()).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let ended = crate::support::guarded(script.output()).await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn c247_the_answer_to_a_prompt_is_text_on_a_terminal() {
    let server = server(Script::new().respond(|_| Turn::text("ho \x1b[31mho"))).await;
    let url = server.url();
    let prompt = "--model m 'Say hi'";
    let shown = on_terminal(&url, prompt, &[]).await;
    assert!(shown.contains("ho [31mho\r\n") && !shown.contains("\"outcome\""), "{shown:?}");
    assert!(shown.contains("\x1b[2mresponses: no API key is sent"), "{shown:?}");

    let plain = on_terminal(&url, prompt, &[("NO_COLOR", "1")]).await;
    assert!(plain.contains("responses: no API key is sent"), "{plain:?}");
    assert!(!plain.contains('\x1b'), "{plain:?}");

    let json = on_terminal(&url, &format!("--json --quiet {prompt}"), &[]).await;
    assert!(json.contains("\"outcome\":\"completed\""), "{json:?}");

    let file = crate::support::tool::Temporary::new("terminal.json");
    std::fs::write(&file.0, HI).unwrap();
    let requests = on_terminal(&url, &format!("--quiet '{}'", file.path()), &[]).await;
    assert!(requests.contains("\"outcome\":\"completed\""), "{requests:?}");
}

#[tokio::test]
async fn c250_each_shell_has_completions_and_each_command_a_man_page() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = ran(command(&["completions", shell]), &[""; 0]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.lines.iter().any(|line| line.contains("fail-fast")), "{shell}");
    }
    for (name, word) in [("run", "fail"), ("serve", "script"), ("completions", "SHELL")] {
        let ran = ran(command(&["man", name]), &[""; 0]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let page = ran.lines.join("\n");
        assert!(page.contains(&format!(".TH responses-{name} 1")), "{page}");
        assert!(page.contains(word), "{page}");
    }
    let ran = ran(command(&["man"]), &[""; 0]).await;
    let page = ran.lines.join("\n");
    assert!(page.contains(".TH responses 1") && page.contains("responses\\-run(1)"), "{page}");
}
