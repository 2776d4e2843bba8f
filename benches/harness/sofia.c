/* sofia: CPU time that sofia-sip's msg_make takes for one SIP message, over and over, release included. It decodes every
 * header that it knows.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sofia-sip/su_types.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>

enum { MESSAGE_MAX = 4000, CHUNK = 1000, LIFETIME_S = 120 };

static const msg_mclass_t *class;

static int parse(const char *b, size_t n) {
    msg_t *m = msg_make(class, 0, b, n);
    if (!m) return 1;
    sip_t *s = sip_object(m);
    int r = !s || !s->sip_request || !s->sip_call_id || s->sip_error;
    msg_destroy(m);
    return r;
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc != 3) { fputs("sofia MESSAGE_FILE SECONDS\n", stderr); return 2; }
    static char b[MESSAGE_MAX + 1];
    FILE *f = fopen(argv[1], "rb");
    if (!f) { perror(argv[1]); return 1; }
    const size_t n = fread(b, 1, MESSAGE_MAX, f);
    fclose(f);
    const double seconds = atof(argv[2]);
    alarm(LIFETIME_S);
    class = sip_default_mclass();
    for (int i = 0; i < 10 * CHUNK; i++)
        if (parse(b, n)) { fputs("the parser refuses the message\n", stderr); return 1; }
    long count = 0;
    const double start = cpu_s();
    double spent;
    do {
        for (int i = 0; i < CHUNK; i++) parse(b, n);
        count += CHUNK;
    } while ((spent = cpu_s() - start) < seconds);
    printf("{\"bytes\":%zu,\"count\":%ld,\"ns\":%.3f}\n", n, count, spent * 1e9 / count);
    return 0;
}
