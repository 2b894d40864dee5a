// @ts-check
// Events of objects that are no elements, with one typed detail each.

/**
 * Base class of what tells others about events.
 *
 * @template {Record<string, any>} Details the detail of each event by the event's name.
 */
export class Emitter {
  /** @type {Map<keyof Details, ((detail: any) => void)[]>} */
  #listeners = new Map();

  /**
   * Calls a function whenever an event occurs.
   *
   * @template {keyof Details} K
   * @param {K} type
   * @param {(detail: Details[K]) => void} listener
   */
  on(type, listener) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  /**
   * Tells the listeners, in the order in which they came.
   *
   * @template {keyof Details} K
   * @param {K} type
   * @param {Details[K]} detail
   */
  emit(type, detail) {
    for (const listener of this.#listeners.get(type) ?? []) listener(detail);
  }
}
