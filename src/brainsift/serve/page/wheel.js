// @ts-check
// Turns of the mouse wheel and swipes of a trackpad, counted in slices.

const UNIT_PX = [1, 40, 800]; // of a wheel event: pixels, lines, pages
const SLICE_PX = 80; // of the wheel: less than a notch of a mouse, many events of a trackpad
const REST_MS = 200; // after it, however little is a notch: some mice begin with a few pixels

export class Wheel {
  #at = -Infinity;
  #way = 0; // pixels that no slice was gone for yet

  /**
   * How many slices a wheel event goes on; negative ones go back.
   *
   * @param {Pick<WheelEvent, "deltaY" | "deltaMode" | "timeStamp">} event
   */
  turn({ deltaY, deltaMode, timeStamp }) {
    const more = deltaY * UNIT_PX[deltaMode];
    const begins = timeStamp - this.#at > REST_MS;
    let sum = begins || this.#way * more < 0 ? more : this.#way + more;
    if (begins && Math.abs(sum) < SLICE_PX) sum = Math.sign(sum) * SLICE_PX;
    const slices = Math.trunc(sum / SLICE_PX);
    this.#at = timeStamp;
    this.#way = slices ? 0 : sum;
    return slices;
  }
}
