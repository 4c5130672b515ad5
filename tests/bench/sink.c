/* A sink for `make bench`: answers every HTTP/1.1 request with 200, so many milliseconds after it
   came. One process, epoll, keep-alive; bodies with a Content-Length are read and dropped. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define BUFFER_BYTES 65536

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/* What of a request head has come, and how much of its body is still to come. */
struct connection {
    char *head;
    size_t head_bytes;
    size_t body_left;
};

static struct connection connections[MAX_CONNECTIONS];
static char buffer[BUFFER_BYTES];

/* Answers that wait for their time, in its order, since all wait equally long. `serial` tells the
   connection that asked from a later one with the same number. */
struct waiting {
    int fd;
    unsigned serial;
    long long due;
};

static struct waiting waiting[1 << 16];
static unsigned first_waiting, after_waiting, serials[MAX_CONNECTIONS];
static int delay;

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int answer_now(int fd) {
    return send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof ANSWER - 1);
}

static int answer(int fd) {
    if (delay == 0) return answer_now(fd);
    waiting[after_waiting++ & 0xffff] = (struct waiting){fd, serials[fd], now_ms() + delay};
    return after_waiting - first_waiting < (1 << 16);
}

/* Gives the answers whose time has come; returns how long the next one waits, -1 for none. */
static int give_answers(void) {
    while (first_waiting != after_waiting) {
        struct waiting *next = &waiting[first_waiting & 0xffff];
        long long left = next->due - now_ms();
        if (left > 0) return (int)left;
        first_waiting++;
        if (serials[next->fd] == next->serial) answer_now(next->fd);
    }
    return -1;
}

/* Takes in what was read; 0 where the connection is to be closed. */
static int take(int fd, const char *data, size_t bytes) {
    struct connection *c = &connections[fd];
    while (bytes > 0) {
        if (c->body_left > 0) {
            size_t part = bytes < c->body_left ? bytes : c->body_left;
            c->body_left -= part;
            data += part;
            bytes -= part;
            if (c->body_left == 0 && !answer(fd)) return 0;
            continue;
        }
        if (c->head_bytes + bytes >= BUFFER_BYTES) return 0;
        memcpy(c->head + c->head_bytes, data, bytes);
        size_t before = c->head_bytes;
        c->head_bytes += bytes;
        c->head[c->head_bytes] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (end == NULL) return 1;
        end[2] = 0;
        size_t used = (size_t)(end + 4 - c->head) - before;
        char *length = strcasestr(c->head, "\r\ncontent-length:");
        c->body_left = length ? strtoull(length + 17, NULL, 10) : 0;
        c->head_bytes = 0;
        data += used;
        bytes -= used;
        if (c->body_left == 0 && !answer(fd)) return 0;
    }
    return 1;
}

static void drop(int fd) {
    close(fd);
    free(connections[fd].head);
    serials[fd]++;
    memset(&connections[fd], 0, sizeof connections[fd]);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    delay = atoi(argv[2]);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("sink");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, events, 256, give_answers());
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                if (fd >= MAX_CONNECTIONS) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connections[fd].head = malloc(BUFFER_BYTES);
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            ssize_t bytes = recv(fd, buffer, sizeof buffer - 1, 0);
            if (bytes <= 0 || !take(fd, buffer, (size_t)bytes)) drop(fd);
        }
    }
}
