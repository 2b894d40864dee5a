// @ts-check
// What the browser remembers for the reader. Where storage is refused, a choice lasts as long as the page.

/**
 * What was stored under a key; null for nothing.
 *
 * @param {string} key
 */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // storage is refused, or full
  }
}

/**
 * What was stored as JSON under a key; null for nothing, and for something else.
 *
 * @param {string} key
 * @returns {any}
 */
export function recallJson(key) {
  try {
    return JSON.parse(recall(key) ?? "null");
  } catch {
    return null;
  }
}
