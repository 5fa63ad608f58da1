/* Runs each file named on the command line through a target, once: the seeds and
 * every input that was a finding, with any compiler. */
#include "fuzz.h"

static uint8_t *read_whole(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return NULL;
  long length = ftell(file);
  rewind(file);
  uint8_t *data = malloc(length > 0 ? (size_t)length : 1);
  *size = data && length > 0 ? fread(data, 1, (size_t)length, file) : 0;
  fclose(file);
  return data;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    size_t size;
    uint8_t *data = read_whole(argv[i], &size);
    if (!data) {
      fprintf(stderr, "cannot read %s\n", argv[i]);
      return 1;
    }
    /* The last line is the input at fault where the target ends the process. */
    fprintf(stderr, "%s\n", argv[i]);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
  }
  printf("%d inputs\n", argc - 1);
  return argc > 1 ? 0 : 1;
}
