//! The files of the page. `npm run build` in gateway/page writes this list; `scripts/page check` compares it.

use super::Embedded;

pub(super) const FILES: &[Embedded] = &[
    Embedded {
        name: "assets/editor-DanMWDkQ.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/editor-DanMWDkQ.js"),
    },
    Embedded {
        name: "assets/icon-CRrWC2L_.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../page/dist/assets/icon-CRrWC2L_.svg"),
    },
    Embedded {
        name: "assets/index-DWgoTzEk.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-DWgoTzEk.css"),
    },
    Embedded {
        name: "assets/index-Dsc4KbKM.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../page/dist/assets/index-Dsc4KbKM.js"),
    },
    Embedded {
        name: "index.html",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../../page/dist/index.html"),
    },
];
