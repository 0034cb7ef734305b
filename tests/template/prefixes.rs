//! The prefixes of the bucket: the code that builds keys defines them, and replication and runbook must have them all.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    document::{Template, read_text},
    runbook::read_section,
};

/// Prefixes that are not copied to another account or region, each with the words of the runbook about it.
const NOT_COPIED: [(&str, &str); 1] = [("inbox/", "`inbox/` is not copied: a copy is a new upload")];

/// Returns every prefix in the constants from which the code builds keys.
fn object_prefixes() -> BTreeSet<String> {
    let code = read_text("shared/model/src/keys.rs");
    let constants = code.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str = \""));
    let values = constants.filter_map(|(_, value)| value.split('"').next());
    let found: BTreeSet<_> =
        values.filter_map(|value| value.split_once('/')).map(|(prefix, _)| format!("{prefix}/")).collect();
    for expected in [model::keys::OUTCOMES, model::keys::CLOSURES, model::keys::MEDIA, "state/", "config/"] {
        assert!(found.contains(expected), "{expected} is not among the prefixes of the bucket: {found:?}");
    }
    found
}

/// Returns the prefixes whose objects the bucket policy protects from being overwritten.
fn write_once_prefixes(template: &Template) -> BTreeSet<String> {
    let statements =
        template.properties("BucketPolicy")["PolicyDocument"]["Statement"].as_array().expect("no statements");
    let statement = statements.iter().find(|statement| statement["Sid"] == "WriteOnce").expect("no such statement");
    let resources = statement["Resource"].as_array().expect("no resources").iter();
    let prefix = |resource: &str| Some(resource.strip_prefix("${Bucket.Arn}/")?.strip_suffix('*')?.to_owned());
    resources.map(|resource| resource["Fn::Sub"].as_str().and_then(prefix).expect("no prefix")).collect()
}

#[test]
fn every_prefix_is_replicated() {
    let template = Template::read();
    let replication = &template.properties("Bucket")["ReplicationConfiguration"];
    let replication = template.evaluate(replication, &[("ReplicaBucketArn", "arn:aws:s3:::replica")]);
    let rules = replication["Rules"].as_array().expect("no rules");
    let copied: Vec<_> = rules.iter().filter_map(|rule| rule["Filter"]["Prefix"].as_str()).collect();
    for prefix in object_prefixes() {
        assert!(copied.iter().any(|copied| prefix.starts_with(copied)), "{prefix} is not copied to the other region");
    }
}

/// The procedure has a loop for objects that may be overwritten, and one for objects that the policy protects.
#[test]
fn runbook_copies_every_prefix_to_another_account() {
    let procedure = read_section("deploy", "Returning to a kept bucket");
    let loops = procedure.lines().filter_map(|line| line.strip_prefix("for prefix in ")?.split_once("; do"));
    let loops: Vec<BTreeSet<_>> =
        loops.map(|(prefixes, _)| prefixes.split(' ').map(|prefix| format!("{prefix}/")).collect()).collect();
    let [overwritten, protected] = &loops[..] else { panic!("there are not two loops: {loops:?}") };
    assert_eq!(
        *protected,
        write_once_prefixes(&Template::read()),
        "the prefixes that the procedure writes with If-None-Match are not those of the bucket policy"
    );
    let exceptions: BTreeMap<_, _> = NOT_COPIED.into();
    for prefix in object_prefixes() {
        let places = [overwritten.contains(&prefix), protected.contains(&prefix), exceptions.contains_key(&*prefix)];
        assert_eq!(
            places.iter().filter(|place| **place).count(),
            1,
            "{prefix} is not in exactly one loop or exception"
        );
    }
    for (prefix, reason) in exceptions {
        assert!(
            object_prefixes().contains(prefix) && procedure.contains(reason),
            "{prefix} is not a prefix, or the runbook does not say: {reason}"
        );
    }
}

#[test]
fn runbook_says_how_long_every_prefix_is_kept() {
    let kept = read_section("compliance", "What is kept, where, and for how long");
    for prefix in object_prefixes() {
        assert!(kept.contains(&format!("`{prefix}`")), "the runbook does not name {prefix}");
    }
}
