// @ts-check
// The page in the frame of a notebook: `brainsift.show` opens it with the address of one job.

/** The job that the address names; null for the whole page. */
export const embeddedJob = () => /^#\/job\/([\w-]+)$/.exec(location.hash)?.[1] ?? null;
