#include "tasks/export.h"
tx_status tx_export_safetensors(tx_exporting *e, tx_error *error) {
  (void)e;
  return tx_fail(error, TX_ERROR_ARGUMENT, "not yet");
}
