use super::{junit, ktap, matrix};
use crate::results::{CaseResult, Document, Environment, Nic, Status, Variant};

fn cases() -> Vec<CaseResult> {
    let case = |id: &str, target: &str, variant| CaseResult {
        nic: Nic::Tun,
        variant,
        ..CaseResult::new(id, target)
    };
    vec![
        case("tcp/a.pkt", "reference", Variant::Ipv4),
        CaseResult {
            detail: Some("line <1>\nline 2".into()),
            ..case("tcp/b#1.pkt", "reference", Variant::Ipv6)
                .with_status(Status::Fail, "tcp.ack is 1 & not 2")
        },
        case("tcp/c.pkt", "reference", Variant::Ipv4).with_status(Status::Xfail, "no fq"),
        case("tcp/a.pkt", "uml", Variant::Ipv4).with_status(Status::Unsupported, "no ring"),
        case("tcp/b#1.pkt", "uml", Variant::Ipv6),
        case("tcp/c.pkt", "uml", Variant::Ipv4).with_status(Status::Fail, "late"),
    ]
}

fn document() -> Document {
    Document::new("conformance", Environment::default(), cases(), 1500)
}

#[test]
fn junit_has_a_test_a_case() {
    let xml = junit::to_string(&document()).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&xml).expect("a well-formed report");
    assert_eq!((read.tests, read.failures), (6, 2), "{xml}");
    assert!(xml.contains("tcp.ack is 1 &amp; not 2") && xml.contains("line &lt;1&gt;"), "{xml}");
    assert!(xml.contains("b#1.pkt (tun, ipv6)"), "{xml}");
}

#[test]
fn ktap_and_matrix() {
    insta::assert_snapshot!(ktap::to_string(&document()));
    insta::assert_snapshot!(matrix::table(&cases(), true));
    assert!(!matrix::table(&cases(), false).contains("c.pkt"));
}
