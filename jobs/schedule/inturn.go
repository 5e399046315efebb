package schedule

// turn is how many epochs one list puts on the queue before the next one's turn comes.
const turn = 100

// inTurn sends the epochs of several lists, some of each at a time.
func inTurn(lists [][]uint64, send func(uint64) error) error {
	for sent := true; sent; {
		sent = false
		for i, list := range lists {
			n := min(turn, len(list))
			for _, epoch := range list[:n] {
				if err := send(epoch); err != nil {
					return err
				}
			}
			lists[i] = list[n:]
			sent = sent || n > 0
		}
	}
	return nil
}
