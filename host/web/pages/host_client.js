// What the page asks of the host. Every answer is a JSON object, at any HTTP status; a request that never got an
// answer gives {success: false, error, isUnreachable: true} instead of an exception.

const QUICK_ANSWER_MS = 5000;

export async function getJson(path) {
  return answerOf(path, { cache: "no-store", signal: AbortSignal.timeout(QUICK_ANSWER_MS) });
}

// `images` are Files or Blobs, sent as image1, image2, ...; `params` are [key, value] pairs.
export async function postForm(path, images, params, signal) {
  const body = new FormData();
  images.forEach((image, index) => body.append(`image${index + 1}`, image));
  for (const [key, value] of params) body.append(key, value);
  return answerOf(path, { method: "POST", body, signal });
}

// With `isGrowing` the answer says in `settled` how much of the text, and of its HTML, more text will not change.
export async function renderMarkdown(text, isGrowing, signal) {
  const body = JSON.stringify({ text, isGrowing });
  const headers = { "Content-Type": "application/json" };
  return answerOf("/v1/explorer/markdown", { method: "POST", body, headers, signal });
}

export async function postJson(path, values) {
  const headers = { "Content-Type": "application/json" };
  return answerOf(path, { method: "POST", body: JSON.stringify(values), headers });
}

export async function deleteJson(path) {
  return answerOf(path, { method: "DELETE" });
}

async function answerOf(path, options) {
  let response;
  let text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch (error) {
    return { success: false, error: `The host did not answer (${error.message})`, isUnreachable: true };
  }
  try {
    const answer = JSON.parse(text);
    if (answer !== null && typeof answer === "object") return answer;
  } catch {
    // Said below: an answer that is no JSON object is a fault of the other side, whatever it is.
  }
  const error = `Expected a JSON object from ${path}, got HTTP ${response.status} with something else`;
  return { success: false, error, code: response.status };
}
