// Copies commands. Without this script they can be selected by hand.
"use strict";

const told = document.createElement("p");
told.className = "told";
told.setAttribute("role", "status");
document.getElementById("main").append(told);

for (const pre of document.querySelectorAll("pre")) {
  const code = pre.querySelector("code");
  if (!code || !navigator.clipboard) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  // Several of them on a page: each says what it copies.
  const name = (text) => {
    button.textContent = text;
    button.setAttribute("aria-label", `${text}: ${code.textContent.split("\n")[0]}`);
  };
  name("Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      name("Copied");
    } catch {
      name("Not copied");
    }
    told.textContent = button.textContent;
    setTimeout(() => { name("Copy"); told.textContent = ""; }, 2000);
  });
  const box = document.createElement("div");
  box.className = "command";
  pre.replaceWith(box);
  box.append(pre, button);
}
