// Tells when the registry was last looked at: the page itself keeps its bytes from run to run.
"use strict";

(async () => {
  const line = document.getElementById("last-run-line");
  const time = document.getElementById("last-run");
  try {
    const answer = await fetch("../status.json", { cache: "no-cache" });
    if (!answer.ok) return;
    const moment = new Date((await answer.json()).time);
    if (Number.isNaN(moment.getTime())) return;
    time.dateTime = moment.toISOString();
    time.textContent = moment.toISOString().slice(0, 16).replace("T", " ");
    line.hidden = false;
  } catch {
    // Then the page doesn't tell; everything else stands in it.
  }
})();
