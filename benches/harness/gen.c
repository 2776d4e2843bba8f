/* gen: a UDP load generator for SIP servers on loopback.
 *
 * It keeps a fixed window of requests outstanding, in batches (sendmmsg and recvmmsg), or paces itself with --rate: then
 * each request is sent when it is due, whether earlier ones were answered or not, as far as the window goes, and in
 * between the process sleeps. It prints one line of JSON: what was answered, at what rate, what it cost this generator
 * and what it cost the server.
 *
 * It knows nothing of any particular server. A request is a template whose fields are patched in place:
 *   @U@@@@@@   8 characters: the user number in decimal, going round --users
 *   @V@@@@@@   8 characters: the same and --called-offset, for whoever is called
 *   @B@@@@@@   8 characters: the transaction number in base 32, not reused for 12 days of uptime
 *   @SRCPORT@  this generator's UDP port;  @HOPPORT@  the port that a proxy under test is to relay to
 * A template must carry "z9hG4bK-@B@@@@@@" as its branch: responses are matched by it, so that a
 * retransmitted final response is counted as a duplicate and not as work done. Requests that the server
 * sends (NOTIFY) are answered with 200. Nothing is retransmitted, and no ACK is sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    BATCH = 64,           /* datagrams a system call */
    DATAGRAM_MAX = 4096,
    FIELDS_MAX = 16,      /* places of one kind in a template */
    PIDS_MAX = 64,
    WINDOW_MAX = 4096,
    RING = 1 << 18,       /* transactions remembered; far more than WINDOW_MAX, so that a slot met again is a loss */
    SECONDS_MAX = 60,
    RATE_MAX = 1000000,
    STALL_MS = 900,       /* silence after which all that is outstanding counts as lost */
};

static const char USAGE[] =
    "gen --target 127.x.y.z:PORT (--template FILE | --raw BYTES) [options]\n"
    "  --window N        requests outstanding at most (128; at most 4096)\n"
    "  --rate N          so many requests a second, evenly, instead of a new one for each answer\n"
    "  --seconds S       stop sending after S seconds (3; at most 60)\n"
    "  --count N         stop sending after N requests\n"
    "  --users N         user numbers go round N (1), from --first-user N (0)\n"
    "  --called-offset N how far the numbers of those called are from the callers' (0)\n"
    "  --source-port N   UDP port to send from (5070; 0 takes any)\n"
    "  --hop-port N      what @HOPPORT@ stands for (5080)\n"
    "  --any-final       count every final response as ok, not 2xx alone (401 challenges, say)\n"
    "  --gso             hand a batch to the kernel as one UDP_SEGMENT send\n"
    "  --pid PID[,PID]   processes whose CPU time (all threads) is charged to the requests answered\n"
    "Only 127.0.0.0/8 is accepted. Prints one line of JSON.\n";

struct options {
    struct sockaddr_in target;
    const char *template_path;
    int raw_bytes, window, users, first_user, called_offset, source_port, hop_port, any_final, gso, pid_count;
    double seconds, rate;
    int64_t count;
    pid_t pids[PIDS_MAX];
};

struct fields { int count, at[FIELDS_MAX]; };

struct counts {
    int64_t sent, ok, errors, lost, duplicates, provisional, requests_in, request_bytes_in, refused;
    int last_error_status;
};

static char out_buf[BATCH][DATAGRAM_MAX], in_buf[BATCH][DATAGRAM_MAX], reply_buf[BATCH][DATAGRAM_MAX];
static uint8_t outstanding[RING];

static void die(const char *what) { perror(what); exit(1); }
static void refuse(const char *why) { fprintf(stderr, "gen: %s\n\n%s", why, USAGE); exit(2); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double own_cpu_s(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

/* CPU time of the listed processes, every thread of them, ended threads included. */
static double pids_cpu_s(const struct options *o) {
    double sum = 0;
    for (int i = 0; i < o->pid_count; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(o->pids[i], &clock) || clock_gettime(clock, &t)) {
            fprintf(stderr, "gen: process %d is gone\n", o->pids[i]);
            exit(3);
        }
        sum += t.tv_sec + t.tv_nsec * 1e-9;
    }
    return sum;
}

/* ---- options and template ---- */

static struct sockaddr_in parse_target(const char *text) {
    char host[64];
    int port;
    struct sockaddr_in a = {.sin_family = AF_INET};
    if (sscanf(text, "%63[0-9.]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &a.sin_addr) != 1)
        refuse("--target wants 127.x.y.z:PORT");
    if (ntohl(a.sin_addr.s_addr) >> 24 != 127) refuse("--target lies outside 127.0.0.0/8");
    a.sin_port = htons(port);
    return a;
}

static struct options parse_options(int argc, char **argv) {
    static const struct option longs[] = {
        {"target", 1, 0, 'd'}, {"template", 1, 0, 't'}, {"raw", 1, 0, 'z'}, {"window", 1, 0, 'w'},
        {"rate", 1, 0, 'r'},
        {"seconds", 1, 0, 'T'}, {"count", 1, 0, 'n'}, {"users", 1, 0, 'U'}, {"first-user", 1, 0, 'u'},
        {"called-offset", 1, 0, 'v'},
        {"source-port", 1, 0, 's'}, {"hop-port", 1, 0, 'H'}, {"any-final", 0, 0, 'a'}, {"gso", 0, 0, 'g'},
        {"pid", 1, 0, 'p'}, {"help", 0, 0, 'h'}, {0}};
    struct options o = {.window = 128, .users = 1, .source_port = 5070, .hop_port = 5080, .seconds = 3,
                        .count = INT64_MAX};
    for (int c; (c = getopt_long(argc, argv, "h", longs, 0)) != -1;) switch (c) {
        case 'd': o.target = parse_target(optarg); break;
        case 't': o.template_path = optarg; break;
        case 'z': o.raw_bytes = atoi(optarg); break;
        case 'w': o.window = atoi(optarg); break;
        case 'r': o.rate = atof(optarg); break;
        case 'T': o.seconds = atof(optarg); break;
        case 'n': o.count = atoll(optarg); break;
        case 'U': o.users = atoi(optarg); break;
        case 'u': o.first_user = atoi(optarg); break;
        case 'v': o.called_offset = atoi(optarg); break;
        case 's': o.source_port = atoi(optarg); break;
        case 'H': o.hop_port = atoi(optarg); break;
        case 'a': o.any_final = 1; break;
        case 'g': o.gso = 1; break;
        case 'p':
            for (char *p = strtok(optarg, ","); p && o.pid_count < PIDS_MAX; p = strtok(0, ","))
                o.pids[o.pid_count++] = atoi(p);
            break;
        case 'h': fputs(USAGE, stdout); exit(0);
        default: refuse("unknown option");
    }
    if (!o.target.sin_port) refuse("--target is missing");
    if (!o.template_path == !o.raw_bytes) refuse("give one of --template and --raw");
    if (o.raw_bytes < 0 || o.raw_bytes > DATAGRAM_MAX) refuse("--raw is out of range");
    if (o.window < 1 || o.window > WINDOW_MAX) refuse("--window is out of range");
    if (o.rate < 0 || o.rate > RATE_MAX) refuse("--rate is out of range");
    if (o.users < 1 || o.count < 1) refuse("--users and --count want at least 1");
    if (!(o.seconds > 0 && o.seconds <= SECONDS_MAX)) refuse("--seconds is out of range");
    return o;
}

/* Reads a template into `to`: bare newlines become CRLF, and the two port fields are filled in. */
static int load_template(const struct options *o, int source_port, char *to) {
    static char raw[DATAGRAM_MAX];
    FILE *f = fopen(o->template_path, "rb");
    if (!f) die(o->template_path);
    int n = fread(raw, 1, sizeof raw, f), len = 0;
    fclose(f);
    for (int i = 0; i < n && len < DATAGRAM_MAX - 16; i++) {
        if (n - i >= 9 && (!memcmp(raw + i, "@SRCPORT@", 9) || !memcmp(raw + i, "@HOPPORT@", 9))) {
            len += sprintf(to + len, "%d", raw[i + 1] == 'S' ? source_port : o->hop_port);
            i += 8;
        } else {
            if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r')) to[len++] = '\r';
            to[len++] = raw[i];
        }
    }
    if (!memmem(to, len, "z9hG4bK-@B@@@@@@", 16)) refuse("the template has no branch z9hG4bK-@B@@@@@@");
    return len;
}

static struct fields find_fields(const char *message, int len, const char *name) {
    struct fields f = {0};
    for (int i = 0; i + 8 <= len && f.count < FIELDS_MAX; i++)
        if (!memcmp(message + i, name, 8)) f.at[f.count++] = i;
    return f;
}

/* ---- the fields that differ from request to request ---- */

static inline void put_decimal8(char *p, unsigned v) {
    for (int i = 7; i >= 0; i--, v /= 10) p[i] = '0' + v % 10;
}

static inline void put_base32x8(char *p, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 5) p[i] = "0123456789abcdefghijklmnopqrstuv"[v & 31];
}

/* The transaction number in a response's branch, or -1. Only our own Via is left in a response to us. */
static int64_t transaction_of(const char *message, int len) {
    const char *p = message, *end = message + len - 16;
    while (p < end && (p = memchr(p, 'z', end - p))) {
        if (!memcmp(p, "z9hG4bK-", 8)) {
            int64_t v = 0;
            for (int i = 8; i < 16; i++) {
                int c = p[i], digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'v' ? c - 'a' + 10 : -1;
                if (digit < 0) return -1;
                v = v << 5 | digit;
            }
            return v;
        }
        p++;
    }
    return -1;
}

/* ---- answering the server's own requests ---- */

static int header_is(const char *line, const char *end, const char *name) {
    size_t n = strlen(name);
    return (size_t)(end - line) > n && !strncasecmp(line, name, n);
}

static int make_200(const char *request, int len, char *to) {
    char *w = to + sprintf(to, "SIP/2.0 200 OK\r\n");
    for (const char *line = request, *end = request + len, *nl; line < end; line = nl + 1) {
        nl = memchr(line, '\n', end - line);
        if (!nl || nl - line <= 1 || w - to + (nl - line) > DATAGRAM_MAX - 64) break;
        if (header_is(line, nl, "Via:") || header_is(line, nl, "From:") || header_is(line, nl, "To:") ||
            header_is(line, nl, "Call-ID:") || header_is(line, nl, "CSeq:"))
            w = mempcpy(w, line, nl - line + 1);
    }
    return w + sprintf(w, "Content-Length: 0\r\n\r\n") - to;
}

/* ---- socket ---- */

static int open_socket(const struct options *o, int *source_port) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), bytes = 16 << 20;
    if (s < 0) die("socket");
    /* As root this goes past net.core.*mem_max; without the privilege the default sizes stay. */
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    struct timeval stall = {0, STALL_MS * 1000};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(o->source_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof me;
    if (bind(s, (void *)&me, sizeof me)) die("bind");
    if (getsockname(s, (void *)&me, &size)) die("getsockname");
    if (connect(s, (void *)&o->target, sizeof o->target)) die("connect");
    *source_port = ntohs(me.sin_port);
    return s;
}

/* Waits for datagrams: without a rate until one comes, else at most until `due_s` from now, when the next request is due.
 * The count received; 0 where it is time to send; -1 after STALL_MS of silence, or where the socket has an error.
 */
static int receive(int s, struct mmsghdr *in, const struct options *o, double due_s) {
    if (!o->rate) return recvmmsg(s, in, BATCH, MSG_WAITFORONE, 0);
    const int sending = due_s < STALL_MS * 1e-3;
    const long wait_ns = sending ? (due_s > 0 ? due_s * 1e9 : 0) : STALL_MS * 1000000L;
    struct pollfd p = {.fd = s, .events = POLLIN};
    struct timespec wait = {0, wait_ns};
    const int ready = ppoll(&p, 1, &wait, 0);
    if (ready > 0) return recvmmsg(s, in, BATCH, MSG_DONTWAIT, 0);
    if (!ready && sending) return 0;
    errno = EAGAIN;
    return -1;
}

/* ---- the run ---- */

int main(int argc, char **argv) {
    struct options o = parse_options(argc, argv);
    alarm(SECONDS_MAX + 30);
    int source_port, s = open_socket(&o, &source_port), len = o.raw_bytes;
    struct fields user = {0}, called = {0}, txn = {0};
    if (o.template_path) {
        len = load_template(&o, source_port, out_buf[0]);
        user = find_fields(out_buf[0], len, "@U@@@@@@");
        called = find_fields(out_buf[0], len, "@V@@@@@@");
        txn = find_fields(out_buf[0], len, "@B@@@@@@");
    } else {
        memset(out_buf[0], 'x', len);
    }

    static struct mmsghdr out[BATCH], in[BATCH], reply[BATCH];
    static struct iovec out_v[BATCH], in_v[BATCH], reply_v[BATCH];
    for (int i = 0; i < BATCH; i++) {
        if (i) memcpy(out_buf[i], out_buf[0], len);
        out_v[i] = (struct iovec){out_buf[i], len};
        in_v[i] = (struct iovec){in_buf[i], DATAGRAM_MAX};
        reply_v[i].iov_base = reply_buf[i];
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_v[i], .msg_iovlen = 1};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_v[i], .msg_iovlen = 1};
        reply[i].msg_hdr = (struct msghdr){.msg_iov = &reply_v[i], .msg_iovlen = 1};
    }
    int batch_max = BATCH;
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct msghdr gso = {.msg_iov = out_v, .msg_control = control, .msg_controllen = sizeof control};
    if (o.gso) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&gso);
        *c = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(2)};
        *(uint16_t *)CMSG_DATA(c) = len;
        if (batch_max > 65000 / len) batch_max = 65000 / len;
    }

    /* One number a microsecond of uptime: below a million requests a second, no run meets another's. */
    const uint64_t base = (uint64_t)(now() * 1e6) & ((1ull << 40) - 1);
    struct counts n = {0};
    int waiting = 0; /* requests outstanding */
    if (o.rate) prctl(PR_SET_TIMERSLACK, 1); /* the default of 50 us would make bursts */
    const double cpu0 = own_cpu_s(), pids_cpu0 = pids_cpu_s(&o), t0 = now();
    double last_progress = t0;

    for (;;) {
        const double t = now();
        const int stop = t - t0 >= o.seconds || n.sent >= o.count;
        if (stop && (waiting <= 0 || t - t0 > o.seconds + 3)) break;
        if (n.refused && n.ok + n.errors == 0 && t - t0 > 1) {
            fprintf(stderr, "gen: nothing listens at the target\n");
            return 4;
        }

        const int64_t by_now = (t - t0) * o.rate + 1, due = o.rate && by_now < o.count ? by_now : o.count;
        while (!stop && waiting < o.window && n.sent < due) {
            int k = o.window - waiting, w;
            if (k > batch_max) k = batch_max;
            if (k > due - n.sent) k = due - n.sent;
            if (o.template_path) for (int i = 0; i < k; i++) {
                const uint64_t q = n.sent + i;
                const unsigned number = o.first_user + q % o.users;
                for (int j = 0; j < user.count; j++) put_decimal8(out_buf[i] + user.at[j], number);
                for (int j = 0; j < called.count; j++) put_decimal8(out_buf[i] + called.at[j], number + o.called_offset);
                for (int j = 0; j < txn.count; j++) put_base32x8(out_buf[i] + txn.at[j], base + q);
            }
            if (o.gso) {
                gso.msg_iovlen = k;
                w = sendmsg(s, &gso, 0);
                if (w > 0) w /= len;
            } else {
                w = sendmmsg(s, out, k, 0);
            }
            if (w <= 0) {
                if (errno == ECONNREFUSED) n.refused++;
                break;
            }
            if (o.template_path) for (int i = 0; i < w; i++) {
                uint8_t *slot = &outstanding[(n.sent + i) % RING];
                if (*slot) n.lost++, waiting--; /* RING requests later and still unanswered */
                *slot = 1;
            }
            n.sent += w;
            waiting += w;
        }

        const int more = !stop && n.sent < o.count && waiting < o.window;
        const int got = receive(s, in, &o, more ? n.sent / o.rate - (now() - t0) : STALL_MS * 1e-3);
        if (!got) continue;
        if (got < 0) {
            if (errno == ECONNREFUSED) { n.refused++; continue; }
            if (waiting > 0) n.lost += waiting;
            waiting = 0;
            memset(outstanding, 0, sizeof outstanding);
            continue;
        }
        int replies = 0;
        for (int i = 0; i < got; i++) {
            const char *m = in_buf[i];
            const int m_len = in[i].msg_len;
            if (!o.template_path) { n.ok++; waiting--; continue; }
            if (m_len < 32) continue;
            if (memcmp(m, "SIP/2.0 ", 8)) {
                n.requests_in++;
                n.request_bytes_in += m_len;
                reply_v[replies].iov_len = make_200(m, m_len, reply_buf[replies]);
                replies++;
                continue;
            }
            const int status = (m[8] - '0') * 100 + (m[9] - '0') * 10 + m[10] - '0';
            if (status < 200) { n.provisional++; continue; }
            const int64_t q = transaction_of(m, m_len) - (int64_t)base;
            if (q < 0 || q >= n.sent || n.sent - q > RING || !outstanding[q % RING]) { n.duplicates++; continue; }
            outstanding[q % RING] = 0;
            waiting--;
            if (status < 300 || o.any_final) n.ok++;
            if (status >= 300) n.errors += !o.any_final, n.last_error_status = status;
        }
        if (replies) sendmmsg(s, reply, replies, 0);
        last_progress = now();
    }
    if (waiting > 0) n.lost += waiting;

    const double cpu = own_cpu_s() - cpu0, pids_cpu = pids_cpu_s(&o) - pids_cpu0;
    const double wall = last_progress > t0 ? last_progress - t0 : now() - t0;
    printf("{\"ok\":%ld,\"rate_per_s\":%.1f,\"errors\":%ld,\"last_error_status\":%d,\"lost\":%ld,\"duplicates\":%ld,"
           "\"provisional\":%ld,\"requests_in\":%ld,\"request_bytes_in\":%ld,\"wall_s\":%.6f,\"generator_cpu_pct\":%.1f,"
           "\"message_bytes\":%d,\"server_cpu_s\":%.6f}\n",
           n.ok, n.ok / wall, n.errors, n.last_error_status, n.lost, n.duplicates, n.provisional, n.requests_in,
           n.request_bytes_in, wall, 100 * cpu / wall, len, pids_cpu);
    return 0;
}
