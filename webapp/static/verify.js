// Helps before sending: a file beyond the limit is refused here, and a slow check says that it is under way.
"use strict";
{
  const form = document.getElementById("verify-form");
  const error = document.getElementById("file-error");
  const file = document.getElementById("file");
  const limit = Number(form.dataset.limit);
  form.addEventListener("submit", (event) => {
    const chosen = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
    if (chosen.reduce((sum, one) => sum + one.size, 4096) > limit) {
      event.preventDefault();
      error.textContent = document.getElementById("too-large").textContent;
      error.hidden = false;
      file.setAttribute("aria-invalid", "true");
      file.focus();
      return;
    }
    document.getElementById("busy").hidden = false;
  });
  window.addEventListener("pageshow", () => { document.getElementById("busy").hidden = true; });
}
