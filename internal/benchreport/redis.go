package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/redis/go-redis/v9"
)

// redisServer is a Redis with a client that asks what it has done.
type redisServer struct {
	*testservers.RedisServer
	client *redis.Client
}

// startRedis starts an empty Redis that persists nothing.
func startRedis() (*redisServer, error) {
	server, err := testservers.NewRedis()
	if err != nil {
		return nil, err
	}
	return &redisServer{server, redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})}, nil
}

// tryRedis says whether there can be a Redis on this machine.
func tryRedis() error {
	server, err := startRedis()
	if err != nil {
		return err
	}
	return server.Close()
}

// Close ends the server.
func (s *redisServer) Close() error {
	_ = s.client.Close() // of a server that is about to go
	return s.RedisServer.Close()
}

// redisSpent is what a Redis has done since it started, or between two moments.
type redisSpent struct {
	cpu      time.Duration // of the thread that runs commands
	commands int64         // those inside scripts are counted, too
	requests int64         // times that it read from a connection
}

func (s redisSpent) minus(before redisSpent) redisSpent {
	return redisSpent{s.cpu - before.cpu, s.commands - before.commands, s.requests - before.requests}
}

// spent asks.
func (s *redisServer) spent(ctx context.Context) (redisSpent, error) {
	text, err := s.client.Info(ctx, "everything").Result()
	if err != nil {
		return redisSpent{}, err
	}
	return parseInfo(text)
}

// parseInfo reads the answer to INFO. Redis before 6.2 tells the CPU time of all its threads only.
func parseInfo(text string) (redisSpent, error) {
	fields := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			fields[name] = x
		}
	}
	user, ok := fields["used_cpu_user_main_thread"]
	sys := fields["used_cpu_sys_main_thread"]
	if !ok {
		user, sys = fields["used_cpu_user"], fields["used_cpu_sys"]
	}
	commands, ok := fields["total_commands_processed"]
	if !ok || user+sys == 0 {
		return redisSpent{}, fmt.Errorf("redis tells no CPU time and commands in %d bytes of INFO", len(text))
	}
	return redisSpent{time.Duration((user + sys) * float64(time.Second)), int64(commands), int64(fields["total_reads_processed"])}, nil
}
