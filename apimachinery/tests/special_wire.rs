//! The scalars whose JSON and wire forms are special, against recorded vectors.

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::codec::protobuf;
use apimachinery::schema::type_by_name;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn vectors() {
    let mut wrong = Vec::new();
    let lines = include_str!("data/special_wire.tsv").lines().filter(|l| !l.starts_with('#'));
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let ty = type_by_name(columns[0]).expect("the type is in the table");
        let decoded = json::decode(columns[1].as_bytes(), ty, &DecodeOptions::default());
        let got = decoded.map(|d| {
            let (mut text, mut bytes) = (Vec::new(), Vec::new());
            json::encode(&d.value, ty, &mut text);
            protobuf::encode(&d.value, ty, &mut bytes);
            let back = protobuf::decode(&bytes, ty).expect("what was encoded decodes");
            let mut again = Vec::new();
            protobuf::encode(&back, ty, &mut again);
            // The fraction of the zero second is not on the wire, and without it the time is the zero time.
            assert!(again == bytes || columns[1].contains("0001-01-01T00:00:00.5Z"), "{line}");
            (String::from_utf8(text).unwrap(), hex(&bytes))
        });
        let want = columns.get(2).map(|json| ((*json).to_owned(), columns.get(3).copied().unwrap_or("").to_owned()));
        if got.as_ref().ok() != want.as_ref() {
            wrong.push(format!("{line}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
