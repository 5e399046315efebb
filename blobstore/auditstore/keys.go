package auditstore

import "github.com/ktaudit/ktaudit/verdict"

// What the audit store keeps of an epoch; each is a folder of its namespace.
const (
	verdicts   = "verdicts"
	signatures = "signatures"
	archives   = "archive"
	evidence   = "evidence"
)

// What the audit store keeps of many epochs.
const (
	seals     = "seals"
	histories = "history"
)

// epochKey is the key of what is kept of one epoch, without extension.
func epochKey(namespace, kind string, epoch uint64) (string, error) {
	if err := verdict.CheckKey(namespace, epoch); err != nil {
		return "", err
	}
	return shardPrefix(namespace, kind, epoch/verdict.EpochsPerShard) + verdict.EpochName(epoch), nil
}

func jsonKey(namespace, kind string, epoch uint64) (string, error) {
	key, err := epochKey(namespace, kind, epoch)
	return key + ".json", err
}

func evidenceKey(namespace string, epoch uint64, name string) (string, error) {
	if err := verdict.CheckName("evidence name", name); err != nil {
		return "", err
	}
	key, err := epochKey(namespace, evidence, epoch)
	return key + "/" + name, err
}

func shardPrefix(namespace, kind string, shard uint64) string {
	return namespace + "/" + kind + "/" + verdict.ShardName(shard) + "/"
}
