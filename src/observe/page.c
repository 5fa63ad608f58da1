/* The frame of a page, and escaping. */
#include "observe/page.h"

#include <string.h>
#include <utf8proc.h>

/* Series are told apart by shape and place too: the two colours, of Okabe and Ito's palette, are
 * distinct to every kind of sight. */
static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--text:#1a1a1a;--soft:#666;--line:#d5d5d5;"
    "--ours:#0072b2;--other:#d55e00}\n"
    "@media (prefers-color-scheme:dark){:root{--back:#15171a;--text:#e6e6e6;--soft:#a0a0a0;"
    "--line:#3a3d42;--ours:#56b4e9;--other:#e69f00}}\n"
    "body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;"
    "max-width:72rem;margin:2rem auto;padding:0 1rem}\n"
    "table{border-collapse:collapse;width:100%;font-size:.875rem}\n"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;"
    "border-bottom:1px solid var(--line)}\n"
    ".number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".note,figcaption{color:var(--soft)}\n"
    ".scroll{overflow-x:auto}\nfigure{margin:2rem 0}\nsvg{max-width:100%;height:auto}\n"
    "svg text{fill:var(--text);font:13px system-ui,sans-serif}\n"
    "svg .soft{fill:var(--soft)}\nsvg .grid{stroke:var(--line)}\n"
    "svg .ours{stroke:var(--ours);fill:var(--ours);stroke-width:2}\n"
    "svg .other{stroke:var(--other);fill:none;stroke-width:2}\nsvg .curve{fill:none}\n"
    "svg .dashed{stroke-dasharray:6 4}\n";

void tx_page_begin(tx_buffer *page, const char *title) {
  tx_buffer_append_string(
      page,
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n"
      "<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"/>\n");
  tx_page_element(page, "title", title);
  tx_page_element(page, "style", style);
  tx_buffer_append_string(page, "</head>\n<body>\n");
  tx_page_element(page, "h1", title);
}

void tx_page_end(tx_buffer *page) { tx_buffer_append_string(page, "</body>\n</html>\n"); }

/* XML 1.0: no control characters but tab and the ends of lines, and no U+FFFE and U+FFFF. */
static bool is_allowed(int32_t point) {
  if (point < 0x20) return point == '\t' || point == '\n' || point == '\r';
  return point != 0xfffe && point != 0xffff;
}

static void append_point(tx_buffer *page, int32_t point, const char *bytes, size_t size) {
  switch (point) {
    case '&': tx_buffer_append_string(page, "&amp;"); break;
    case '<': tx_buffer_append_string(page, "&lt;"); break;
    case '>': tx_buffer_append_string(page, "&gt;"); break;
    case '"': tx_buffer_append_string(page, "&quot;"); break;
    default: tx_buffer_append(page, bytes, size); break;
  }
}

void tx_page_text(tx_buffer *page, const char *text) {
  for (size_t left = strlen(text); left > 0;) {
    utf8proc_int32_t point;
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)left, &point);
    bool good = size > 0 && is_allowed(point);
    if (good) {
      append_point(page, point, text, (size_t)size);
    } else {
      tx_buffer_append_string(page, "\xEF\xBF\xBD");
    }
    size_t step = size > 0 ? (size_t)size : 1;
    text += step, left -= step;
  }
}

void tx_page_element(tx_buffer *page, const char *name, const char *text) {
  tx_buffer_format(page, "<%s>", name);
  tx_page_text(page, text);
  tx_buffer_format(page, "</%s>\n", name);
}

void tx_page_cell(tx_buffer *page, bool heading, const char *kind, const char *text) {
  const char *name = heading ? "th" : "td";
  tx_buffer_format(page, kind ? "<%s class=\"%s\">" : "<%s>", name, kind);
  tx_page_text(page, text);
  tx_buffer_format(page, "</%s>", name);
}
