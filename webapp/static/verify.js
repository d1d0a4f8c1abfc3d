// Helps before sending: the picker speaks the page's language, a file beyond the limit is refused here, a slow check
// says that it is under way. Without this script the form works as it is.
"use strict";
{
  const form = document.getElementById("verify-form");
  const error = document.getElementById("file-error");
  const file = document.getElementById("file");
  const limit = Number(form.dataset.limit);
  for (const picker of form.querySelectorAll(".picker")) {
    const input = picker.querySelector("input");
    const text = picker.querySelector(".picker-text");
    const empty = text.textContent;
    picker.classList.add("enhanced");
    picker.querySelector(".picker-face").hidden = false;
    const show = () => { text.textContent = input.files.length ? input.files[0].name : empty; };
    input.addEventListener("change", show);
    show();
  }
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
