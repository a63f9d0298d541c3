// Many libsrt callers in one process, which play and count.
//
//   srt_players PORT STREAM_ID COUNT LATENCY_MS [PER_PORT [RECONNECTS_PER_MINUTE]]
//
// PER_PORT callers share one UDP port (1). Each line on standard input is answered with one line of JSON: totals since
// the start, those of callers that have ended included. The first answer comes by itself, once all have received
// something. The end of standard input ends the callers.
#include <arpa/inet.h>
#include <poll.h>
#include <srt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PACKET = 1500, EVENTS = 256, TS_PACKET = 188, PIDS = 8192, JOINS_PER_S = 100 };

struct player {
    SRTSOCKET socket;
    double asked_at;
    int has_received;
    // The last continuity counter of each PID plus one; 0 is none yet.
    unsigned char counters[PIDS];
};

static struct totals {
    long connects, failed, broken, bytes, packets, received, lost, dropped, retransmitted, belated;
    long continuity_errors, first_ms_sum, first_ms_most, firsts;
} totals;

static struct player *players;
static int count, latency_ms, per_port = 1, epoll_id;
static const char *stream_id;
static struct sockaddr_in server = {.sin_family = AF_INET};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// Shares the UDP port of the first player of its group.
static void bind_beside(int index) {
    int first = index - index % per_port;
    struct sockaddr_in local;
    int length = sizeof local;
    if (first == index || players[first].socket == SRT_INVALID_SOCK) return;
    if (srt_getsockname(players[first].socket, (struct sockaddr *)&local, &length) == SRT_ERROR) return;
    srt_bind(players[index].socket, (struct sockaddr *)&local, sizeof local);
}

static void connect_player(int index) {
    struct player *player = &players[index];
    int no = 0, events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
    memset(player, 0, sizeof *player);
    player->socket = srt_create_socket();
    srt_setsockflag(player->socket, SRTO_RCVSYN, &no, sizeof no);
    srt_setsockflag(player->socket, SRTO_LATENCY, &latency_ms, sizeof latency_ms);
    srt_setsockflag(player->socket, SRTO_STREAMID, stream_id, strlen(stream_id));
    bind_beside(index);
    srt_epoll_add_usock(epoll_id, player->socket, &events);
    player->asked_at = now();
    srt_connect(player->socket, (struct sockaddr *)&server, sizeof server);
    totals.connects++;
}

static void add_counts(SRTSOCKET socket, struct totals *sum) {
    SRT_TRACEBSTATS stats;
    if (srt_bistats(socket, &stats, 0, 1) == SRT_ERROR) return;
    sum->received += stats.pktRecvUniqueTotal;
    sum->lost += stats.pktRcvLossTotal;
    sum->dropped += stats.pktRcvDropTotal;
    // These two are kept since the last clearing only; nothing here clears.
    sum->retransmitted += stats.pktRcvRetrans;
    sum->belated += stats.pktRcvBelated;
}

static void end_player(int index) {
    if (players[index].socket == SRT_INVALID_SOCK) return;
    add_counts(players[index].socket, &totals);
    srt_epoll_remove_usock(epoll_id, players[index].socket);
    srt_close(players[index].socket);
    players[index].socket = SRT_INVALID_SOCK;
}

static void check_continuity(struct player *player, const unsigned char *packet, int length) {
    for (; length >= TS_PACKET && packet[0] == 0x47; packet += TS_PACKET, length -= TS_PACKET) {
        int pid = (packet[1] & 0x1f) << 8 | packet[2], counter = packet[3] & 15;
        int has_payload = packet[3] >> 4 & 1, has_adaptation = packet[3] >> 5 & 1;
        int jumps = has_adaptation && packet[4] > 0 && packet[5] & 0x80;
        int last = player->counters[pid] - 1;
        if (pid == 0x1fff) continue;
        // A packet without payload repeats the counter; one with payload may be sent twice (ISO/IEC 13818-1 §2.4.3.3).
        if (last >= 0 && !jumps && counter != last && !(has_payload && counter == ((last + 1) & 15))) totals.continuity_errors++;
        player->counters[pid] = counter + 1;
    }
}

static void receive(struct player *player) {
    char packet[MAX_PACKET];
    int length;
    while ((length = srt_recvmsg(player->socket, packet, sizeof packet)) > 0) {
        totals.bytes += length;
        totals.packets++;
        check_continuity(player, (unsigned char *)packet, length);
        if (player->has_received) continue;
        player->has_received = 1;
        long first_ms = (now() - player->asked_at) * 1e3;
        totals.firsts++;
        totals.first_ms_sum += first_ms;
        if (first_ms > totals.first_ms_most) totals.first_ms_most = first_ms;
    }
}

static int receiving(void) {
    int sum = 0;
    for (int i = 0; i < count; i++) sum += players[i].socket != SRT_INVALID_SOCK && players[i].has_received;
    return sum;
}

static void report(void) {
    struct totals sum = totals;
    for (int i = 0; i < count; i++)
        if (players[i].socket != SRT_INVALID_SOCK) add_counts(players[i].socket, &sum);
    printf("{\"receiving\": %d, \"connects\": %ld, \"failed\": %ld, \"broken\": %ld, \"bytes\": %ld, \"packets\": %ld, "
           "\"received\": %ld, \"lost\": %ld, \"dropped\": %ld, \"retransmitted\": %ld, \"belated\": %ld, "
           "\"continuity_errors\": %ld, \"first_ms_mean\": %ld, \"first_ms_most\": %ld}\n",
           receiving(), sum.connects, sum.failed, sum.broken, sum.bytes, sum.packets, sum.received, sum.lost, sum.dropped,
           sum.retransmitted, sum.belated, sum.continuity_errors, sum.firsts ? sum.first_ms_sum / sum.firsts : 0,
           sum.first_ms_most);
    fflush(stdout);
}

// Answers a line on standard input; false at its end.
static int answer(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char said[64];
    if (poll(&input, 1, 0) <= 0) return 1;
    if (read(STDIN_FILENO, said, sizeof said) <= 0) return 0;
    report();
    return 1;
}

static int index_of(SRTSOCKET socket) {
    for (int i = 0; i < count; i++)
        if (players[i].socket == socket) return i;
    return -1;
}

int main(int words, char **word) {
    if (words < 5) {
        fprintf(stderr, "usage: srt_players PORT STREAM_ID COUNT LATENCY_MS [PER_PORT [RECONNECTS_PER_MINUTE]]\n");
        return 2;
    }
    server.sin_port = htons(atoi(word[1]));
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    stream_id = word[2];
    count = atoi(word[3]);
    latency_ms = atoi(word[4]);
    if (words > 5) per_port = atoi(word[5]);
    double every = words > 6 && atof(word[6]) > 0 ? 60 / atof(word[6]) : 0;
    srt_startup();
    srt_setloglevel(0);
    epoll_id = srt_epoll_create();
    players = calloc(count, sizeof *players);
    for (int i = 0; i < count; i++) players[i].socket = SRT_INVALID_SOCK;

    static SRT_EPOLL_EVENT ready[EVENTS];
    double next_join = now(), next_reconnect = 0;
    int joined = 0, all_receive = 0, turn = 0;
    while (answer()) {
        if (joined < count && now() >= next_join) {
            connect_player(joined++);
            next_join += 1.0 / JOINS_PER_S;
        }
        int found = srt_epoll_uwait(epoll_id, ready, EVENTS, joined < count ? 5 : 50);
        for (int i = 0; i < found; i++) {
            int index = index_of(ready[i].fd);
            if (index < 0) continue;
            if (ready[i].events & SRT_EPOLL_IN) receive(&players[index]);
            if (srt_getsockstate(ready[i].fd) <= SRTS_CONNECTED) continue;
            *(players[index].has_received ? &totals.broken : &totals.failed) += 1;
            end_player(index);
            connect_player(index);
        }
        if (!all_receive && receiving() == count) {
            all_receive = 1;
            next_reconnect = now() + every;
            report();
        }
        if (every && all_receive && now() >= next_reconnect) {
            next_reconnect += every;
            end_player(turn);
            connect_player(turn);
            turn = (turn + 1) % count;
        }
    }
    for (int i = 0; i < count; i++) end_player(i);
    srt_cleanup();
    return 0;
}
