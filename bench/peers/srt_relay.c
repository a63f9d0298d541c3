// A relay on libsrt, to measure Cruvz against: one process, one epoll loop, what a publisher sends goes to its players.
//
//   srt_relay PORT LATENCY_MS
//
// The stream id decides: `publish:NAME` or `read:NAME`. At the end of a session, and for those that are left at the end
// of standard input, one line of JSON says what libsrt counted.
#include <arpa/inet.h>
#include <poll.h>
#include <srt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SESSIONS = 4096, MAX_NAME = 512, MAX_PACKET = 1500, EVENTS = 256 };

struct session {
    SRTSOCKET socket;
    int publishes;
    char name[MAX_NAME];
    // Packets that the send buffer had no room for.
    long refused;
};

static struct session *sessions[MAX_SESSIONS];
static int session_count;
static int epoll_id;

static void fail(const char *what) {
    fprintf(stderr, "srt_relay: %s: %s\n", what, srt_getlasterror_str());
    exit(1);
}

static void report(const struct session *session) {
    SRT_TRACEBSTATS stats;
    if (srt_bistats(session->socket, &stats, 0, 1) == SRT_ERROR) return;
    printf("{\"role\": \"%s\", \"received\": %ld, \"lost\": %d, \"dropped\": %d, \"sent_unique\": %ld, \"retransmitted\": %d, "
           "\"send_dropped\": %d, \"refused\": %ld, \"rtt_ms\": %.1f}\n",
           session->publishes ? "publish" : "play", (long)stats.pktRecvUniqueTotal, stats.pktRcvLossTotal,
           stats.pktRcvDropTotal, (long)stats.pktSentUniqueTotal, stats.pktRetransTotal, stats.pktSndDropTotal,
           session->refused, stats.msRTT);
    fflush(stdout);
}

static void end(int index) {
    report(sessions[index]);
    srt_epoll_remove_usock(epoll_id, sessions[index]->socket);
    srt_close(sessions[index]->socket);
    free(sessions[index]);
    sessions[index] = sessions[--session_count];
}

static void admit(SRTSOCKET listener) {
    struct sockaddr_storage from;
    int length = sizeof from;
    SRTSOCKET socket = srt_accept(listener, (struct sockaddr *)&from, &length);
    if (socket == SRT_INVALID_SOCK) return;
    struct session *session = calloc(1, sizeof *session);
    char id[MAX_NAME] = "";
    int id_length = MAX_NAME - 1;
    srt_getsockflag(socket, SRTO_STREAMID, id, &id_length);
    const char *name = strchr(id, ':');
    session->socket = socket;
    session->publishes = strncmp(id, "publish:", 8) == 0;
    if (session_count == MAX_SESSIONS || !name) {
        srt_close(socket);
        free(session);
        return;
    }
    strcpy(session->name, name + 1);
    int nonblocking = 0, events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
    srt_setsockflag(socket, SRTO_RCVSYN, &nonblocking, sizeof nonblocking);
    srt_setsockflag(socket, SRTO_SNDSYN, &nonblocking, sizeof nonblocking);
    srt_epoll_add_usock(epoll_id, socket, &events);
    sessions[session_count++] = session;
}

static int index_of(SRTSOCKET socket) {
    for (int i = 0; i < session_count; i++)
        if (sessions[i]->socket == socket) return i;
    return -1;
}

// Hands on what a publisher has sent.
static void hand_on(int from) {
    char packet[MAX_PACKET];
    int length;
    while ((length = srt_recvmsg(sessions[from]->socket, packet, sizeof packet)) > 0) {
        if (!sessions[from]->publishes) continue;
        for (int i = 0; i < session_count; i++) {
            if (sessions[i]->publishes || strcmp(sessions[i]->name, sessions[from]->name) != 0) continue;
            if (srt_sendmsg2(sessions[i]->socket, packet, length, NULL) == SRT_ERROR) sessions[i]->refused++;
        }
    }
}

static SRTSOCKET listen_at(int port, int latency_ms) {
    SRTSOCKET listener = srt_create_socket();
    int nonblocking = 0, events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
    srt_setsockflag(listener, SRTO_RCVSYN, &nonblocking, sizeof nonblocking);
    srt_setsockflag(listener, SRTO_LATENCY, &latency_ms, sizeof latency_ms);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (srt_bind(listener, (struct sockaddr *)&address, sizeof address) == SRT_ERROR) fail("bind");
    if (srt_listen(listener, 1024) == SRT_ERROR) fail("listen");
    srt_epoll_add_usock(epoll_id, listener, &events);
    return listener;
}

static int input_ended(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char said[64];
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, said, sizeof said) <= 0;
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: srt_relay PORT LATENCY_MS\n");
        return 2;
    }
    srt_startup();
    srt_setloglevel(0);
    epoll_id = srt_epoll_create();
    SRTSOCKET listener = listen_at(atoi(words[1]), atoi(words[2]));
    printf("listening\n");
    fflush(stdout);
    static SRT_EPOLL_EVENT ready[EVENTS];
    while (!input_ended()) {
        int found = srt_epoll_uwait(epoll_id, ready, EVENTS, 200);
        for (int i = 0; i < found; i++) {
            int index = index_of(ready[i].fd);
            if (ready[i].fd == listener) admit(listener);
            else if (index >= 0 && ready[i].events & SRT_EPOLL_IN) hand_on(index);
            index = index_of(ready[i].fd);
            if (index >= 0 && srt_getsockstate(ready[i].fd) > SRTS_CONNECTED) end(index);
        }
    }
    while (session_count) end(session_count - 1);
    srt_close(listener);
    srt_cleanup();
    return 0;
}
