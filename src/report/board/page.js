"use strict";
// The page is whole without this: it shows moments in local time, and copies commands.
const local = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time")) {
  time.title = time.textContent;
  time.textContent = local.format(new Date(time.dateTime));
}
for (const button of document.querySelectorAll("button[data-copies]")) {
  const command = document.getElementById(button.dataset.copies);
  button.hidden = false;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      document.execCommand("copy"); // Where a page is shown over plain http there is no other way.
    }
    button.textContent = "Copied";
    document.getElementById("told").textContent = "The command is copied";
  });
}
