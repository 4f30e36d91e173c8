//! `dunlin init`: what it writes can be used at once, and it never takes anything away.

use super::Desk;
use crate::common::{S3, data, unique};

#[test]
fn what_lies_in_a_folder_becomes_a_configuration_that_works() {
    let desk = Desk::new();
    let lake = desk.path().join("lake");
    std::fs::create_dir_all(lake.join("days/day=1")).unwrap();
    std::fs::create_dir_all(lake.join("days/day=2")).unwrap();
    std::fs::write(lake.join("people.csv"), "name,age\nAda,36\nBob,41\n").unwrap();
    std::fs::write(lake.join("log-1.json"), "{\"k\":1}\n").unwrap();
    std::fs::write(lake.join("log-2.json"), "{\"k\":2}\n").unwrap();
    std::fs::write(lake.join("days/day=1/a.csv"), "v\n10\n").unwrap();
    std::fs::write(lake.join("days/day=2/b.csv"), "v\n20\n").unwrap();
    std::fs::write(lake.join("broken.parquet"), "no parquet").unwrap();
    std::fs::write(lake.join("README.md"), "hello").unwrap();
    // A name that would be configuration, if it were written as it is.
    std::fs::write(lake.join("evil.csv"), "\"a\n[files]\nenabled = true\n#\"\n1\n").unwrap();
    let told = desk.run(&["init", "lake"]).ok();
    assert!(told.starts_with("dunlin.toml: 5 tables from lake; 1 file left out"), "{told}");
    assert!(told.contains("broken: left as a comment"), "{told}");
    let text = std::fs::read_to_string(desk.path().join("dunlin.toml")).unwrap();
    assert!(text.contains("2 columns: name VARCHAR, age BIGINT"), "{text}");
    assert!(text.contains("# name = \"broken\""), "{text}");
    assert!(!text.contains("\n[files]"), "{text}");
    let sql = "select (select count(*) from people) as p, (select sum(k) from log) as l, sum(v * day) as d from days";
    let answer = desk.run(&["sql", "-q", "--config", "dunlin.toml", sql]).ok();
    assert_eq!(answer, "{\"p\":2,\"l\":3,\"d\":50}\n");

    // Again: nothing is replaced, unless that is wanted.
    let error = desk.run(&["init", "lake"]).failed(1);
    assert!(error.contains("dunlin.toml exists"), "{error}");
    desk.run(&["init", "lake", "--force"]).ok();
    let printed = desk.run(&["init", "lake", "--output", "-"]).ok();
    assert_eq!(printed, std::fs::read_to_string(desk.path().join("dunlin.toml")).unwrap());

    // One file, and the folder itself.
    let printed = desk.run(&["init", "lake/people.csv", "--output", "-"]).ok();
    assert!(printed.contains("location = \"lake/people.csv\""), "{printed}");
    let printed = desk.run(&["init", "--output", "-"]).ok();
    assert!(printed.contains("location = \"lake/people.csv\""), "{printed}");
}

/// What is packed with gzip.
fn packed(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

/// How text files are written is seen in the files, and said in the configuration where it is not the default.
#[test]
fn text_files_are_read_as_they_are_written() {
    let desk = Desk::new();
    let lake = desk.path().join("lake");
    std::fs::create_dir_all(lake.join("days/day=1")).unwrap();
    let file = |name: &str, bytes: &[u8]| std::fs::write(lake.join(name), bytes).unwrap();
    file("plain.csv", b"name,age\nAda,36\nBob,41\n");
    file("semi.csv", b"name;price\nx;1,50\n\"y;z\";2,75\n");
    file("tabs.csv", b"name\tage\nAda\t36\n");
    file("pipes.tsv", b"name|age\nAda|36\n");
    file("headless.csv", b"1,Ada\n2,Bob\n");
    file("packed.csv.gz", &packed("k;v\n1;one\n2;two\n"));
    // Its name does not tell.
    file("hidden.csv", &packed("1|one\n2|two\n"));
    file("hidden_lines.json", &packed("{\"k\":7}\n"));
    file("days/day=1/a.csv", b"10;x\n20;y\n");
    // Longer than what is looked at.
    let long: String = (0..20_000).map(|row| format!("{row};text {row}\n")).collect();
    file("long.csv", format!("id;text\n{long}").as_bytes());
    desk.run(&["init", "lake"]).ok();
    let text = std::fs::read_to_string(desk.path().join("dunlin.toml")).unwrap();
    assert!(!text.contains("cannot be read as it is"), "{text}");
    for (sql, wanted) in [
        ("select max(age) as a, max(name) as n from plain", "{\"a\":41,\"n\":\"Bob\"}\n"),
        (
            "select price as p, name as n from semi order by name limit 1",
            "{\"p\":\"1,50\",\"n\":\"x\"}\n",
        ),
        ("select name as n from semi order by name desc limit 1", "{\"n\":\"y;z\"}\n"),
        ("select age as a, name as n from tabs", "{\"a\":36,\"n\":\"Ada\"}\n"),
        ("select age as a, name as n from pipes", "{\"a\":36,\"n\":\"Ada\"}\n"),
        (
            "select count(*) as n, sum(column_1) as s, max(column_2) as m from headless",
            "{\"n\":2,\"s\":3,\"m\":\"Bob\"}\n",
        ),
        ("select sum(k) as s, max(v) as m from packed", "{\"s\":3,\"m\":\"two\"}\n"),
        ("select sum(column_1) as s, max(column_2) as m from hidden", "{\"s\":3,\"m\":\"two\"}\n"),
        ("select k from hidden_lines", "{\"k\":7}\n"),
        (
            "select count(*) as n, sum(column_1) as s, max(day) as d from days",
            "{\"n\":2,\"s\":30,\"d\":1}\n",
        ),
        ("select count(*) as n, max(id) as m from long", "{\"n\":20000,\"m\":19999}\n"),
    ] {
        let answer = desk.run(&["sql", "-q", "--config", "dunlin.toml", sql]).ok();
        assert_eq!(answer, wanted, "{sql}\n{text}");
    }
    // One file that is named.
    let printed = desk.run(&["init", "lake/semi.csv", "--output", "-"]).ok();
    assert!(printed.contains("[tables.csv]\ndelimiter = \";\"\n"), "{printed}");
    assert!(!text.contains("delimiter = \",\""), "{text}");
}

#[test]
fn what_cannot_be_looked_at_is_told() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("empty")).unwrap();
    std::fs::write(desk.path().join("empty/notes.txt"), "x").unwrap();
    for (arguments, said) in [
        (&["init", "empty"][..], "no file whose name ends in .parquet"),
        (&["init", "nowhere"], "no file whose name ends in .parquet"),
        (&["init", "empty/*.csv"], "name the folder"),
        (&["init", "ftp://host/x"], "scheme ftp is not known"),
        (&["init", "empty", "--param", "s3_secret=abc"], "would write a secret into the file"),
        (&["init", "empty", "--param", "s3_endpoint"], "is not KEY=VALUE"),
    ] {
        let error = desk.run(arguments).failed(1);
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!desk.path().join("dunlin.toml").exists(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_bucket_is_looked_at_with_the_parameters_that_are_given() {
    let Some(s3) = S3::from_env() else { return };
    let place = unique("init");
    s3.upload(&data(0.01), &place).await;
    let (key, secret) = s3.root();
    let desk = Desk::new();
    let mut command = desk.command(crate::common::binary());
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).args([
        "init",
        &format!("s3://{}/{place}/", s3.bucket),
        "--param",
        &format!("s3_endpoint={}", s3.endpoint),
        "--param",
        "allow_http=true",
    ]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("8 tables from s3://"), "{told} {output:?}");
    let text = std::fs::read_to_string(desk.path().join("dunlin.toml")).unwrap();
    assert!(!text.contains(secret), "{text}");
    let mut command = desk.command(crate::common::binary());
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
    command.args(["sql", "-q", "--config", "dunlin.toml", "select count(*) as n from nation"]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"n\":25}\n", "{output:?}");
}
