/* Where models are kept, and how a name becomes a file.  Fetching, the
 * catalogue and the list of models are tx_pull, tx_catalogue_* and
 * tx_models_json of taxon.h.
 *
 * Under the home:
 *   models/NAME.gguf   a model, and NAME.json its receipt: name, sha256, bytes,
 *                      license, source, modified (the file's time, in ns)
 *   downloads/         archives of data sets, by package and version; NAME-KEY.part,
 *                      what a fetch from the hub has so far
 *   locks/NAME.lock    held while NAME is fetched */
#ifndef TX_FORMATS_HUB_H
#define TX_FORMATS_HUB_H

#include "base/buffer.h"
#include "base/error.h"
#include "formats/gguf_write.h"

/* Appends `home`, or where it is NULL or empty TAXON_HOME, else
 * $XDG_CACHE_HOME/taxon, else $HOME/.cache/taxon. */
tx_status tx_home(const char *home, tx_buffer *path, tx_error *error);

/* The file of a model: a name that was pulled, else a path.  A known name that
 * was not pulled yet is TX_ERROR_INPUT and says how to; so is any other name,
 * with the nearest known one.  sha256_known: the hash that its receipt gives,
 * while size and time of the file are those of the receipt; else "". */
tx_status tx_model_locate(const char *name_or_path, const char *home, char path[4096],
                          char sha256_known[65], tx_error *error);

/* Keeps a model that is made here as models/NAME.gguf (path) under `home`, which is the place
 * itself, with a receipt that names the source.  One of that name from the same source is
 * taken as it is; from another it is refused. */
tx_status tx_model_keep(const char *home, const char *name, const char *source,
                        tx_gguf_writer *writer, char path[4096], const tx_watch *watch,
                        tx_error *error);

#endif
