//! Files below `/var/log` of the node.
//!
//! upstream: pkg/kubelet/server/server.go: getLogs

use std::path::{Component, Path, PathBuf};

use component_base::serving::{ResponseBody, full, text};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

const ROOT: &str = "/var/log";
/// Largest file that is sent.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Answers `/logs/path` with a file or a listing.
pub async fn serve(request: Request<Incoming>) -> Response<ResponseBody> {
    let path = request.uri().path().trim_start_matches("/logs").to_owned();
    let answer = tokio::task::spawn_blocking(move || read(&path)).await;
    answer.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the file was not read\n"))
}

fn read(path: &str) -> Response<ResponseBody> {
    let Some(file) = below_root(path) else {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    };
    match std::fs::metadata(&file) {
        Ok(meta) if meta.is_dir() => full(StatusCode::OK, "text/html; charset=utf-8", listing(&file)),
        Ok(meta) if meta.len() <= FILE_BYTES_MAX => match std::fs::read(&file) {
            Ok(bytes) => full(StatusCode::OK, "text/plain; charset=utf-8", bytes),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        Ok(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "the file is too large\n"),
        Err(_) => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// The real path, unless it leads out of the root.
fn below_root(path: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?.into_owned();
    let relative = Path::new(decoded.trim_start_matches('/'));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let real = Path::new(ROOT).join(relative).canonicalize().ok()?;
    (plain && real.starts_with(ROOT)).then_some(real)
}

fn listing(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("{}{slash}", entry.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    let links = names.iter().map(|name| format!("<a href=\"{0}\">{0}</a>\n", name.replace(['<', '>', '&', '"'], "_")));
    format!("<pre>\n{}</pre>\n", links.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_leaves_the_root() {
        for path in ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/nonexistent-file"] {
            assert_eq!(below_root(path), None, "{path}");
        }
    }
}
