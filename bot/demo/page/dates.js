// Slack's date tokens, in the reader's own language and zone.

const STYLES = {
  date_num: { year: "numeric", month: "2-digit", day: "2-digit" },
  date: { year: "numeric", month: "long", day: "numeric" },
  date_short: { year: "numeric", month: "short", day: "numeric" },
  date_long: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
  time: { hour: "numeric", minute: "2-digit" },
  time_secs: { hour: "numeric", minute: "2-digit", second: "2-digit" },
};

const DAY = 86_400_000;

function relativeDay(moment, now) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(moment) - midnight(now)) / DAY);
  return { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
}

function ago(moment, now) {
  const minutes = Math.round((moment - now) / 60_000);
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(minutes, "minute");
}

/** Replaces the tokens in `{date_short_pretty} at {time}`; unknown tokens stay. */
export function formatDate(seconds, format, now = new Date()) {
  const moment = new Date(seconds * 1000);
  return format.replace(/\{(\w+)\}/g, (all, token) => {
    if (token === "ago") return ago(moment, now);
    const pretty = token.endsWith("_pretty") && relativeDay(moment, now);
    const style = STYLES[token.replace("_pretty", "")];
    return pretty || (style ? moment.toLocaleString(undefined, style) : all);
  });
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString(undefined, STYLES.time);
export const exact = (seconds) => new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
