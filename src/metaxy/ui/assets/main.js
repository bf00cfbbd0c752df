// The page: shows what `api/` answers.
const answer = await fetch("api/project.json");
const found = await answer.json();
document.getElementById("app").textContent = found.error ? `${found.error.message}: ${found.error.hint}` : found.project;
