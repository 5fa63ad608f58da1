/* Archives over libarchive, read as streams. */
#include "formats/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/memory.h"

enum { BLOCK = 1 << 18 };

struct tx_unpack {
  struct archive *archive;
  char *name, *member;
};

static tx_status fail_damaged(const tx_unpack *unpack, tx_error *error) {
  const char *why = archive_error_string(unpack->archive);
  if (archive_errno(unpack->archive) == ENOMEM) {
    return tx_fail_memory(error, BLOCK, "an archive");
  }
  return tx_fail(error, TX_ERROR_INPUT, "cannot unpack %s: %s; remove it and pull again",
                 unpack->name, why ? why : "it is damaged");
}

static tx_status find_member(tx_unpack *unpack, tx_error *error) {
  struct archive_entry *entry;
  for (;;) {
    int state = archive_read_next_header(unpack->archive, &entry);
    if (state == ARCHIVE_EOF) {
      return tx_fail(error, TX_ERROR_INPUT, "there is no file %s in %s; remove it and pull again",
                     unpack->member, unpack->name);
    }
    if (state != ARCHIVE_OK && state != ARCHIVE_WARN) return fail_damaged(unpack, error);
    const char *name = archive_entry_pathname(entry);
    if (name && strcmp(name, unpack->member) == 0 && archive_entry_filetype(entry) == AE_IFREG) {
      return TX_OK;
    }
  }
}

static tx_status make(const char *name, const char *member, tx_unpack **made, tx_error *error) {
  tx_unpack *unpack = tx_alloc_zero(1, sizeof *unpack);
  if (!unpack) return tx_fail_memory(error, sizeof *unpack, "an archive");
  unpack->archive = archive_read_new();
  unpack->name = tx_copy_string(name);
  unpack->member = tx_copy_string(member);
  if (!unpack->archive || !unpack->name || !unpack->member ||
      archive_read_support_format_zip(unpack->archive) != ARCHIVE_OK ||
      archive_read_support_format_tar(unpack->archive) != ARCHIVE_OK ||
      archive_read_support_filter_gzip(unpack->archive) != ARCHIVE_OK) {
    tx_unpack_close(unpack);
    return tx_fail_memory(error, BLOCK, "an archive");
  }
  *made = unpack;
  return TX_OK;
}

static tx_status begin(tx_unpack *unpack, int opened, tx_unpack **out, tx_error *error) {
  tx_status status =
      opened == ARCHIVE_OK ? find_member(unpack, error) : fail_damaged(unpack, error);
  if (status != TX_OK) {
    tx_unpack_close(unpack);
    return status;
  }
  *out = unpack;
  return TX_OK;
}

tx_status tx_unpack_open(const char *path, const char *member, tx_unpack **unpack,
                         tx_error *error) {
  *unpack = NULL;
  tx_unpack *made;
  TX_TRY(make(path, member, &made, error));
  return begin(made, archive_read_open_filename(made->archive, path, BLOCK), unpack, error);
}

tx_status tx_unpack_open_bytes(tx_text bytes, const char *name, const char *member,
                               tx_unpack **unpack, tx_error *error) {
  *unpack = NULL;
  tx_unpack *made;
  TX_TRY(make(name, member, &made, error));
  return begin(made, archive_read_open_memory(made->archive, bytes.data, bytes.size), unpack,
               error);
}

tx_status tx_unpack_open_members(const char *path, tx_unpack **unpack, tx_error *error) {
  *unpack = NULL;
  tx_unpack *made;
  TX_TRY(make(path, "", &made, error));
  if (archive_read_open_filename(made->archive, path, BLOCK) != ARCHIVE_OK) {
    tx_status status = fail_damaged(made, error);
    tx_unpack_close(made);
    return status;
  }
  *unpack = made;
  return TX_OK;
}

tx_status tx_unpack_next(tx_unpack *unpack, const char **name, tx_error *error) {
  struct archive_entry *entry;
  *name = NULL;
  while (!*name) {
    int state = archive_read_next_header(unpack->archive, &entry);
    if (state == ARCHIVE_EOF) return TX_OK;
    if (state != ARCHIVE_OK && state != ARCHIVE_WARN) return fail_damaged(unpack, error);
    if (archive_entry_filetype(entry) == AE_IFREG) *name = archive_entry_pathname(entry);
  }
  return TX_OK;
}

tx_status tx_unpack_read(tx_unpack *unpack, void *data, size_t size, size_t *got, tx_error *error) {
  la_ssize_t count = archive_read_data(unpack->archive, data, size);
  *got = count > 0 ? (size_t)count : 0;
  return count >= 0 ? TX_OK : fail_damaged(unpack, error);
}

tx_status tx_unpack_all(tx_unpack *unpack, size_t limit, tx_buffer *bytes, tx_error *error) {
  for (;;) {
    size_t got;
    if (!tx_buffer_reserve(bytes, BLOCK)) return tx_fail_memory(error, bytes->size, "an archive");
    TX_TRY(tx_unpack_read(unpack, bytes->data + bytes->size, BLOCK, &got, error));
    if (got == 0) break;
    bytes->size += got;
    if (bytes->size > limit) {
      return tx_fail(error, TX_ERROR_INPUT, "%s in %s is larger than %zu bytes: not what is known",
                     unpack->member, unpack->name, limit);
    }
  }
  bytes->data[bytes->size] = '\0';
  return TX_OK;
}

void tx_unpack_close(tx_unpack *unpack) {
  if (!unpack) return;
  if (unpack->archive) archive_read_free(unpack->archive);
  tx_free(unpack->name);
  tx_free(unpack->member);
  tx_free(unpack);
}
