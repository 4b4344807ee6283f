//! How fast the codecs are on pods like those of a real cluster. Meant for release builds.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::codec::{protobuf, transcode};
use apimachinery::schema;

const POD: &str = include_str!("bench_pod.json");

/// Runs `body` for about a second and prints its throughput in MB of `bytes` per second.
fn measure(name: &str, bytes: usize, mut body: impl FnMut() -> usize) {
    let start = Instant::now();
    let mut rounds = 0u32;
    let mut sum = 0;
    while start.elapsed().as_millis() < 1000 {
        for _ in 0..100 {
            sum += body();
        }
        rounds += 100;
    }
    let each = start.elapsed() / rounds;
    let rate = bytes as f64 / each.as_secs_f64() / 1e6;
    println!("{name:<28} {each:>10.2?} {rate:>9.0} MB/s");
    black_box(sum);
}

/// Prints a line for each codec.
pub fn bench_transcode() -> anyhow::Result<()> {
    let pod = schema::kind("v1", "Pod").context("Pod is in the table")?;
    let value = json::decode(POD.as_bytes(), pod, &DecodeOptions::default())?.value;
    let (mut text, mut raw) = (Vec::new(), Vec::new());
    json::encode(&value, pod, &mut text);
    protobuf::encode(&value, pod, &mut raw);
    println!("pod: {} bytes JSON, {} bytes protobuf", text.len(), raw.len());
    let mut out = Vec::with_capacity(2 * text.len());
    let fails = "the pod was encoded by us";
    measure("transcode protobuf to JSON", text.len(), || {
        out.clear();
        transcode::json_from_protobuf(&raw, pod, "v1", "Pod", &mut out).expect(fails);
        out.len()
    });
    anyhow::ensure!(out == text, "transcoding and encoding differ");
    measure("decode JSON", text.len(), || {
        json::decode(&text, pod, &DecodeOptions::STRICT).expect(fails).strict_errors.len()
    });
    measure("encode JSON", text.len(), || {
        out.clear();
        json::encode(&value, pod, &mut out);
        out.len()
    });
    measure("decode protobuf", raw.len(), || usize::from(protobuf::decode(&raw, pod).expect(fails).is_null()));
    measure("encode protobuf", raw.len(), || {
        out.clear();
        protobuf::encode(&value, pod, &mut out);
        out.len()
    });
    measure("metadata of protobuf", raw.len(), || protobuf::object_meta(&raw).expect(fails).name.len());
    measure("resource version splice", raw.len(), || {
        protobuf::with_resource_version(&raw, "12345678").expect(fails).len()
    });
    Ok(())
}
