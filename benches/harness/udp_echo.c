/* udp_echo: what comes in goes back, and nothing is looked at: recvmmsg and sendmmsg, up to 64 datagrams a call.
 * It is the floor under any server that moves datagrams with these calls.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, DATAGRAM_MAX = 2048, BUFFER_BYTES = 8 << 20, LIFETIME_S = 1800 };

static int open_socket(int port) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), bytes = BUFFER_BYTES;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(s, (void *)&me, sizeof me)) { perror("bind"); exit(1); }
    return s;
}

int main(int argc, char **argv) {
    if (argc != 2) { fputs("udp_echo PORT   on 127.0.0.1, for at most half an hour\n", stderr); return 2; }
    alarm(LIFETIME_S);
    const int s = open_socket(atoi(argv[1]));
    static char buf[BATCH][DATAGRAM_MAX];
    static struct mmsghdr m[BATCH];
    static struct iovec v[BATCH];
    static struct sockaddr_in peer[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            v[i] = (struct iovec){buf[i], DATAGRAM_MAX};
            m[i].msg_hdr = (struct msghdr){.msg_name = &peer[i], .msg_namelen = sizeof peer[i], .msg_iov = &v[i],
                                           .msg_iovlen = 1};
        }
        const int n = recvmmsg(s, m, BATCH, MSG_WAITFORONE, 0);
        for (int i = 0; i < n; i++) v[i].iov_len = m[i].msg_len;
        for (int done = 0, w; done < n; done += w)
            if ((w = sendmmsg(s, m + done, n - done, 0)) <= 0) break;
    }
}
