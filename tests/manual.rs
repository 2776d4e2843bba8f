//! Completions and manual pages of both programs, and what `doctor` says of the machine that the tests run on.

use std::process::{Command, Output, Stdio};

use tests::program::{Folder, shown};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");
const PROGRAMS: [(&str, &str); 2] = [("imstorm", IMSTORM), ("imstorm-engine", ENGINE)];

fn output(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().expect("it starts")
}

fn said(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Whether a tool is on this machine.
fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn bash_takes_the_completions_and_completes() {
    let folder = Folder::new("completions");
    for (name, program) in PROGRAMS {
        let script = said(program, &["completions", "bash"]);
        let file = folder.file(&format!("{name}.bash"), &script);
        let checked = Command::new("bash").arg("-n").arg(&file).output().expect("bash");
        assert!(checked.status.success(), "{}", shown(&checked));
        // What bash would offer after the program's name and `co`.
        let function = format!("_{}", name.replace('-', "__"));
        let line = format!(
            "source '{}'; COMP_WORDS=({name} co); COMP_CWORD=1; f=$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f {name} co {name}; echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let offered = Command::new("bash").args(["-c", &line]).output().expect("bash");
        let text = String::from_utf8_lossy(&offered.stdout).into_owned();
        assert!(text.contains("completions"), "{function}: {}", shown(&offered));
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(said(IMSTORM, &["completions", shell]).contains("imstorm"), "{shell}");
    }
    assert_eq!(output(IMSTORM, &["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_each_program_and_each_command() {
    let folder = Folder::new("man");
    for (name, program) in PROGRAMS {
        let page = said(program, &["man"]);
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH SUBCOMMANDS", "Exit codes"] {
            assert!(page.contains(section), "{name}: {section}");
        }
        let out = folder.at(name);
        said(program, &["man", "--out", out.to_str().expect("a path")]);
        let pages = std::fs::read_dir(&out).expect("a folder").count();
        assert!(pages > 5 && out.join(format!("{name}-completions.1")).exists(), "{pages}");
        assert!(!out.join("imstorm-embedded-engine.1").exists(), "it is nobody's command");
    }
    let taken = folder.file("taken", "");
    let refused = output(IMSTORM, &["man", "--out", taken.to_str().expect("a path")]);
    assert_eq!(refused.status.code(), Some(5), "{}", shown(&refused));
    if !is_there("groff") {
        eprintln!("no groff here: the pages were not rendered");
        return;
    }
    let page = folder.at("imstorm").join("imstorm-run.1");
    let rendered =
        Command::new("groff").args(["-man", "-Tascii", "-P-cbou", "-ww"]).arg(&page).output();
    let rendered = rendered.expect("groff");
    assert!(rendered.status.success(), "{}", shown(&rendered));
    assert!(
        String::from_utf8_lossy(&rendered.stdout).contains("--capture"),
        "{}",
        shown(&rendered)
    );
    assert!(rendered.stderr.is_empty(), "no warnings: {}", shown(&rendered));
}

#[test]
fn the_doctor_looks_at_this_machine() {
    let text = said(IMSTORM, &["doctor"]);
    for what in ["io_uring", "receive buffers", "cores", "memory", "clock", "UEs' addresses"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    let json = said(IMSTORM, &["doctor", "million", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON and nothing else");
    assert_eq!(
        (json["profile"].as_str(), json["can_run"].as_bool()),
        (Some("million"), Some(true))
    );
    // More UEs than any memory holds.
    let json = said(
        IMSTORM,
        &[
            "doctor",
            "--set",
            "population.addresses=127.0.0.0/8",
            "--set",
            "population.size=16000000",
            "--json",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let memory =
        json["findings"].as_array().and_then(|all| all.iter().find(|it| it["what"] == "memory"));
    assert!(memory.is_some(), "{json:#}");
}
