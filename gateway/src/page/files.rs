//! The files of the page. `npm run build` in gateway/page writes this list; `scripts/page check` compares it.

use super::Embedded;

pub(super) const FILES: &[Embedded] = &[
    Embedded {
        name: "assets/editor-Gkt1KMSo.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/editor-Gkt1KMSo.js"),
    },
    Embedded {
        name: "assets/icon-CRrWC2L_.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../page/dist/assets/icon-CRrWC2L_.svg"),
    },
    Embedded {
        name: "assets/index-Dgs7153L.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-Dgs7153L.js"),
    },
    Embedded {
        name: "assets/index-Du14aopS.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-Du14aopS.css"),
    },
    Embedded {
        name: "index.html",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../../page/dist/index.html"),
    },
];
