"use strict";
// Browsers load no modules and no WebAssembly from a file that was double-clicked.
if (location.protocol === "file:")
  document.getElementById("message").textContent =
    "This page needs a local server: run `gancomp demo`, or `python -m http.server` in this folder and open http://localhost:8000.";
