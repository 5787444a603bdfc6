use super::*;

fn case(id: &str, nic: Nic, status: Status) -> CaseResult {
    CaseResult { nic, status, ..CaseResult::new(id, "reference") }
}

#[test]
fn the_document_is_the_schema_of_the_design() {
    let failed = CaseResult {
        variant: Variant::Ipv4MappedIpv6,
        nic: Nic::Ftgmac100,
        wall_us: 7,
        virtual_us: 2_000_000,
        event_log: Some("00000000deadbeef".to_owned()),
        ..CaseResult::new("tcp/b.pkt", "reference")
    }
    .with_divergence(Divergence {
        frame: 3,
        layer: "tcp".to_owned(),
        field: "window".to_owned(),
        expected: "65535".to_owned(),
        got: "65483".to_owned(),
    });
    let environment =
        Environment { version: "0.1.0".to_owned(), kernel: "5.15".to_owned(), seed: 1 };
    let document = Document::new(
        "conformance",
        environment,
        vec![failed, case("tcp/a.pkt", Nic::Tun, Status::Pass)],
        12,
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
    let again: Document = serde_json::from_str(&serde_json::to_string(&document).unwrap()).unwrap();
    assert_eq!(again, document);
}

#[test]
fn a_known_result_turns_fail_and_pass_around_where_it_applies() {
    let list = KnownResults::parse(
        "expected.toml",
        "[[known]]\nid = \"a\"\nnic = \"tun\"\nreason = \"no SACK\"\n\
         [[known]]\nid = \"b\"\nreason = \"no FIN\"\n",
    )
    .unwrap();
    let mut cases = vec![
        case("a", Nic::Tun, Status::Fail),
        case("a", Nic::Ftgmac100, Status::Fail),
        case("b", Nic::Tun, Status::Pass),
        case("b", Nic::Ftgmac100, Status::Skip),
        case("c", Nic::Tun, Status::Pass),
    ];
    list.apply(&mut cases);
    let seen: Vec<Status> = cases.iter().map(|c| c.status).collect();
    assert_eq!(seen, [Status::Xfail, Status::Fail, Status::Xpass, Status::Skip, Status::Pass]);
    assert_eq!(cases[0].reason.as_deref(), Some("no SACK"));
    assert_eq!(Summary::of(&cases).findings(), 2);
    assert_eq!(list.unused(&cases[..1]).map(|e| e.id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_updated_list_makes_the_same_run_expected() {
    let list = KnownResults::parse(
        "expected.toml",
        "[[known]]\nid = \"a\"\nreason = \"kept\"\n\
         [[known]]\nid = \"b\"\nreason = \"passes now\"\n\
         [[known]]\nid = \"elsewhere\"\nreason = \"did not run\"\n",
    )
    .unwrap();
    let cases = vec![
        case("a", Nic::Tun, Status::Fail),
        case("b", Nic::Tun, Status::Pass),
        case("c", Nic::Tun, Status::Fail).with_status(Status::Fail, "window 1"),
    ];
    let text = list.updated(&cases).to_toml();
    let again = KnownResults::parse("expected.toml", &text).unwrap();
    let mut applied = cases.clone();
    again.apply(&mut applied);
    assert_eq!(Summary::of(&applied).findings(), 0, "{text}");
    let kept: Vec<(&str, &str)> =
        again.known.iter().map(|e| (e.id.as_str(), e.reason.as_str())).collect();
    assert_eq!(kept, [("a", "kept"), ("c", "window 1"), ("elsewhere", "did not run")]);
}

#[test]
fn a_list_that_is_wrong_says_where() {
    for (text, message) in [
        ("[[known]]\nid = \"a\"\nreason = \" \"\n", "a has no reason"),
        ("[[known]]\nid = \"a\"\n", "missing field `reason`"),
        (
            "[[known]]\nid = \"a\"\nreason = \"x\"\n[[known]]\nid = \"a\"\nreason = \"y\"\n",
            "a is listed twice",
        ),
    ] {
        let error = KnownResults::parse("expected.toml", text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(miette::Diagnostic::labels(&error).is_some(), "{message}");
    }
}
