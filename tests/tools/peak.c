/* Runs a program and writes what it needed at most of memory, and the time it
 * took, into a file.
 *
 *   peak FILE COMMAND [ARGUMENT...]
 *
 * FILE gets "KIB SECONDS": the largest resident set, and seconds by the clock.
 * Exit status: the program's own. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: peak FILE COMMAND [ARGUMENT...]\n");
    return 2;
  }
  double started = now();
  pid_t child = fork();
  if (child == 0) {
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  int status;
  struct rusage used;
  if (child < 0 || wait4(child, &status, 0, &used) != child) return EXIT_FAILURE;
  FILE *file = fopen(argv[1], "w");
  if (!file) return EXIT_FAILURE;
  fprintf(file, "%ld %.2f\n", used.ru_maxrss, now() - started);
  if (fclose(file) != 0) return EXIT_FAILURE;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
