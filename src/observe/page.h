/* Pages that stand alone: HTML that is well-formed XML too, with its style inside, light or
 * dark as the reader's system is, and nothing from elsewhere, so that a report can be kept,
 * sent and read without a network.  Plots are plot.h.
 *
 * Everything is appended to a tx_buffer, whose `failed` says at the end whether all of it had
 * room.  Text is escaped; what XML cannot hold of it (control characters, bytes that are not
 * UTF-8) becomes U+FFFD. */
#ifndef TX_OBSERVE_PAGE_H
#define TX_OBSERVE_PAGE_H

#include "base/buffer.h"
#include "taxon.h"

void tx_page_begin(tx_buffer *page, const char *title); /* up to the heading, which is the title */
void tx_page_end(tx_buffer *page);

void tx_page_text(tx_buffer *page, const char *text); /* escaped, within any element or attribute */
/* <name>text</name> */
void tx_page_element(tx_buffer *page, const char *name, const char *text);
/* A cell of a table; `kind`: a class of its style, "number" or "note"; NULL: none. */
void tx_page_cell(tx_buffer *page, bool heading, const char *kind, const char *text);

#endif
