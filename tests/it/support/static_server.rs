//! A directory over HTTP, as a CDN's origin or a plain web server would serve it.

use std::path::{Path, PathBuf};

use super::http::{Listener, Request, Response};

/// A running server.
#[derive(Debug)]
pub struct StaticServer {
    listener: Listener,
}

impl StaticServer {
    /// Serves the files below `root`; a directory answers with its `index.html` or `index.json`.
    pub fn start(root: impl Into<PathBuf>) -> StaticServer {
        let root = root.into();
        StaticServer {
            listener: Listener::answering(move |request| answer(&root, request)),
        }
    }

    /// Its address, with a final slash.
    pub fn url(&self) -> String {
        format!("{}/", self.listener.url())
    }
}

fn answer(root: &Path, request: &Request) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::text(405, "only GET and HEAD");
    }
    let path = request.path();
    let mut file = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if matches!(part, "." | "..") {
            return Response::text(400, "no '.' or '..'");
        }
        file.push(part);
    }
    if file.is_dir() {
        let indexes = ["index.html", "index.json"].map(|name| file.join(name));
        match indexes.into_iter().find(|index| index.is_file()) {
            Some(index) => file = index,
            None => return Response::text(404, "not found"),
        }
    }
    match std::fs::read(&file) {
        Ok(bytes) => {
            let content_type = mime_guess::from_path(&file).first_or_octet_stream();
            let mut response = Response::new(200, content_type.as_ref(), bytes);
            if request.method == "HEAD" {
                let length = response.body.len().to_string();
                response.headers.0.push(("Content-Length".into(), length));
            }
            response
        }
        Err(_) => Response::text(404, "not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http::send;

    #[test]
    fn files_and_indexes_are_served_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("@acme/text")).unwrap();
        std::fs::write(root.join("@acme/text/index.json"), "{}").unwrap();
        std::fs::write(root.join("a.js"), "1").unwrap();
        std::fs::write(directory.path().join("secret"), "").unwrap();
        let server = StaticServer::start(&root);
        let get = |path: &str| send("GET", &format!("{}{path}", server.url()), &[], b"").unwrap();
        assert_eq!(get("@acme%2ftext").body, b"{}");
        assert_eq!(
            get("a.js").headers.get("content-type"),
            Some("text/javascript")
        );
        for (path, status) in [
            ("b.js", 404),
            ("", 404),
            ("../secret", 400),
            ("%2e%2e/secret", 400),
        ] {
            assert_eq!(get(path).status, status, "{path}");
        }
        let head = send("HEAD", &format!("{}a.js", server.url()), &[], b"").unwrap();
        assert_eq!(
            (head.status, head.headers.get("content-length")),
            (200, Some("1"))
        );
    }
}
