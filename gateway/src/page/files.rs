//! The files of the page. `npm run build` in gateway/page writes this list; `scripts/page check` compares it.

use super::Embedded;

pub(super) const FILES: &[Embedded] = &[
    Embedded {
        name: "assets/editor-DzujA4TV.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/editor-DzujA4TV.js"),
    },
    Embedded {
        name: "assets/icon-CRrWC2L_.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../page/dist/assets/icon-CRrWC2L_.svg"),
    },
    Embedded {
        name: "assets/index-B_3TuVsa.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-B_3TuVsa.css"),
    },
    Embedded {
        name: "assets/index-cTC8EVeP.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-cTC8EVeP.js"),
    },
    Embedded {
        name: "assets/licenses.md",
        kind: "text/markdown; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/licenses.md"),
    },
    Embedded {
        name: "index.html",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../../page/dist/index.html"),
    },
];
