package explain

// texts has one text for each reason of a rejection or contradiction, and for each kind of alert.
var texts = map[string]Text{
	// Reasons: what the batch itself shows.
	"malformed_proof": {
		Title:   "The batch is no audit proof.",
		Means:   "The batch, its name or its compression is not encoded as a proof has to be. Nothing can be said of the tree. The bytes were fetched twice, from the listing on, and were the same.",
		Benign:  "The log writes a new format, was interrupted while it wrote the batch, or something between the log and ktaudit changes what it serves.",
		Actions: "Fetch the batch by another way and compare its SHA-256 with the one in the verdict. If it is the same, ask the operator of the log.",
	},
	"noncanonical_label": {
		Title:   "The proof has a label that no honest tree has.",
		Means:   "A label is too short, or has bits set beyond its length. Some verifiers read such labels as others, so that a proof can mean two things.",
		Benign:  "A defect in the software that writes the proofs. An honest log's software does not write them.",
		Actions: "Keep the batch, which is in the archive, and ask the operator of the log.",
	},
	"overlapping_labels": {
		Title:   "Of two labels in the proof one is the other, or a prefix of it.",
		Means:   "Such a proof can replace a key that is in the tree and pass that off as an addition. Older verifiers accept it. It proves nothing about the tree.",
		Benign:  "A defect in the software that writes the proofs, such as writing a node twice.",
		Actions: "Treat it as an attack until the operator of the log has explained it. The batch is in the archive.",
	},
	"previous_digest_mismatch": {
		Title:   "The proof does not begin with the tree that was published before.",
		Means:   "The nodes that the proof calls unchanged do not hash to the digest before the epoch. So it does not show that the tree only grew.",
		Benign:  "The batch of another epoch lies under this name, or the audit is configured with the wrong hash layout; then every epoch is rejected.",
		Actions: "If all epochs are rejected, check the setting configuration. If only this one is, keep the batch and ask the operator of the log.",
	},
	"digest_mismatch": {
		Title:   "The proof does not end with the digest that was published.",
		Means:   "All nodes of the proof together do not hash to the digest after the epoch. The log published a digest of a tree that it did not prove.",
		Benign:  "The batch was damaged on the log's side, lies under a wrong name, or the audit is configured with the wrong hash layout; then every epoch is rejected.",
		Actions: "If all epochs are rejected, check the setting configuration. If only this one is, keep the batch and ask the operator of the log.",
	},
	"batch_too_large": {
		Title:   "The batch is over the limits set here, and was not judged.",
		Means:   "Nothing is said against the log: the batch has more bytes or elements than the settings allow, and was not read to its end.",
		Benign:  "The log grew, or published many changes in one epoch.",
		Actions: "Compare the size with max_bytes, max_stored_bytes and max_elements in the configuration. Raise them, restart the workers, and have the epoch audited anew with `ktaudit overrule`.",
	},

	// Reasons: what is around the batch.
	"signature_invalid": {
		Title:   "A signed digest is not what it must be.",
		Means:   "The signed digest of the epoch, or of the one before, is malformed, not signed by a trusted key, for another epoch, or older than the one before.",
		Benign:  "The signer has a new key that is not in the configuration, or the configuration names a wrong one; then all epochs from some point on are rejected.",
		Actions: "Compare the key in the signed digest, which is in the evidence, with those that the signer publishes now. If a wrong key was configured here, correct it and have the epochs audited anew with `ktaudit overrule`: docs/keys.md.",
	},
	"signature_digest_mismatch": {
		Title:   "Another digest was signed than the one that was published.",
		Means:   "A trusted key signed one digest for the epoch, and the log published another. Signer and log do not show the same tree.",
		Benign:  "The signed digests are of another log: the setting signatures names the wrong place.",
		Actions: "Check the setting. If it is right, the two signed statements convict: keep the evidence and ask signer and log.",
	},
	"equivocation": {
		Title:   "The log shows more than one history at an epoch.",
		Means:   "The log published several batches with different digests for one epoch, posted two digests to be signed, or published a batch that does not go together with a verified neighbour. Two people can be shown two different trees.",
		Benign:  "A batch that was published by mistake and not removed. An honest log has no reason to publish two.",
		Actions: "Treat it as an attack until it is explained. What was listed or posted is in the evidence. Ask others which digest they saw.",
	},
	"digest_reused": {
		Title:   "The epoch has the digest of an earlier one.",
		Means:   "Every epoch adds something, so no tree comes twice. The log has gone back to an earlier tree, or publishes epochs that change nothing.",
		Benign:  "The log's software published an epoch without changes, which it is not meant to.",
		Actions: "See with `ktaudit status` what came between the two epochs. If keys were added there, they are lost: ask the operator of the log.",
	},
	"broken_chain": {
		Title:   "Two verified epochs do not continue each other.",
		Means:   "Each of the two was verified by itself, but the second does not begin with the digest that the first ended with. The log shows two histories, one to each side of this point.",
		Benign:  "The audit store holds verdicts of two logs under one namespace, for example after a log was set up anew.",
		Actions: "Make sure that only one log was ever audited under this namespace. If so, the two batches convict: keep the evidence and ask the operator of the log.",
	},
	"rollback": {
		Title:   "The log went back to an earlier tree.",
		Means:   "An epoch begins with the digest of an earlier one, though others came between. What these added is not in the tree any more.",
		Benign:  "The log was restored from a backup. That loses keys all the same.",
		Actions: "Both epochs are named in the detail. Ask the operator of the log what became of the epochs between them.",
	},

	"island": {
		Title:   "An epoch continues nothing that is known.",
		Means:   "The epoch before was rejected and claims one digest; this one, which is verified by itself, begins with another, and no earlier epoch is verified to have ended with it. What the tree held before is not shown.",
		Benign:  "The log published the rejected epoch by mistake and went on from another tree. That other tree was never proven.",
		Actions: "Both digests are named in the detail. Ask the operator of the log for the epoch that ended with the digest, and treat it as a second history until then.",
	},

	// Kinds of alerts.
	"rejected": {
		Title:   "An epoch was rejected.",
		Means:   "The log published something for an epoch that does not prove that its tree only grew. The verdict says why in one word: explain that, too. Before it was recorded the batch was fetched a second time.",
		Benign:  "That depends on the reason.",
		Actions: "Run `ktaudit explain` with the reason. A rejection holds the head back; acknowledge it once it is dealt with. If it came of a mistake in the configuration, use `ktaudit overrule`.",
	},
	"contradiction": {
		Title:   "Two statements about the log cannot both be true.",
		Means:   "A later look at an epoch does not agree with its verdict, or a verified epoch does not fit the ones around it. The log changed its past, or showed two.",
		Benign:  "A log directory that was set up anew, or verdicts of two logs under one namespace. An auditor with another configuration may find something else, too.",
		Actions: "Run `ktaudit incidents show` for both statements and the evidence. Run `ktaudit reverify` for the epoch from another machine.",
	},
	"sealed_mismatch": {
		Title:   "The audit's own record is not what was sealed.",
		Means:   "A verdict is missing or differs from what its seal says, or the sum of all seals cannot be read. Somebody or something changed the audit store. It says nothing about the log.",
		Benign:  "Objects were lost, restored from an older backup, or removed by a rule of the bucket.",
		Actions: "Run `ktaudit seal --check` to see what differs, and restore it from a backup. Check who may write to the audit store.",
	},
	"names_changed": {
		Title:   "Names that the log once listed are listed otherwise now.",
		Means:   "The name of an epoch, which holds its digests, was replaced, joined by another, or is gone. A log never has to change a name that it published.",
		Benign:  "The log directory was moved, cleaned up or restored. A name that is gone counts only after several looks.",
		Actions: "The old and the new names are in the evidence. Run `ktaudit reverify` for the epoch, and ask the operator of the log.",
	},
	"skipped": {
		Title:   "The log went on without an epoch.",
		Means:   "A later epoch is there, and this one was looked for several times in vain. What it should have proven is not shown. It ends when the epoch is published.",
		Benign:  "The log lost a batch or publishes out of order; a content network serves an outdated listing for long.",
		Actions: "Look for the epoch in the log directory by another way. The head stays before it until it is there.",
	},
	"withdrawn": {
		Title:   "Batches that were judged are gone from the log.",
		Means:   "The log listed and served the batches, and does not list them any more: several fresh answers over some time did not have them, though the log has others. Nobody else can check these epochs now.",
		Benign:  "The log keeps its batches for a time only, or moved to another bucket and left some behind.",
		Actions: "Ask the operator of the log whether it removes old batches. If so, acknowledge the incident. It ends by itself if the batches come back.",
	},
	"recheck_overdue": {
		Title:   "Epochs that were judged could not be looked at again for too long.",
		Means:   "For more than a day the log, or what is on the way to it, has answered for these epochs with errors or from a cache, or has listed a batch that was written anew and cannot be fetched. Nobody knows whether their batches are still what was judged. It ends when all were looked at.",
		Benign:  "A cache or a proxy keeps old answers, access rights are missing for a part of the log, or the log is being moved.",
		Actions: "Ask the log yourself: list the folder of the epoch (ktaudit show EPOCH) and fetch its batch. If only some epochs fail, ask the operator of the log why. ktaudit reverify EPOCH audits one again at once.",
	},
	"implausible": {
		Title:   "The log lists an epoch far ahead of what it can have come to.",
		Means:   "An object under a very high number does not make the log that long. It is not followed. It ends when the log comes to it or lists it no more.",
		Benign:  "A test object, or a mistake in a name.",
		Actions: "None, unless the log is really that far: then the epochs between are missing, or the setting cadence is wrong.",
	},
	"silent": {
		Title:   "The log publishes nothing.",
		Means:   "No new epoch was seen for longer than silent_after in the configuration. It ends with the next epoch.",
		Benign:  "The log has nothing to publish, is closed, is down, or cannot be reached from here.",
		Actions: "Look whether others see new epochs. If the log is closed, set last in the configuration.",
	},
	"overruled": {
		Title:   "An operator had an epoch judged anew, on record.",
		Means:   "`ktaudit overrule` was used. The newer verdict is the one that counts, and both stay on record.",
		Benign:  "A mistake in the configuration, such as a wrong key, had led to the verdict before.",
		Actions: "Make sure that the one whom it names did it, for the reason given. `ktaudit status` lists what is overruled.",
	},
	"backlog": {
		Title:   "Published epochs wait too long for a verdict.",
		Means:   "The oldest epoch without a verdict is older than backlog_age in the configuration. What waits is not verified. It ends when the backlog is gone.",
		Benign:  "Too few workers, a log that publishes faster, an epoch that was never signed, or a fault that holds an epoch up.",
		Actions: "Look at the queue with `ktaudit status`, at the workers and their logs, and add workers if they are busy.",
	},
	"transient": {
		Title:   "An epoch cannot be judged, again and again.",
		Means:   "Attempts fail with errors that should have passed. There is no verdict, and none is made of a fault. It ends when the epoch has a verdict.",
		Benign:  "The log directory, the audit store or the way to them fails; or a batch needs more memory or time than there is.",
		Actions: "The detail has the last error. `ktaudit retry --all` tries again at once.",
	},
	"store_unwritable": {
		Title:   "The audit store cannot be written.",
		Means:   "No verdict is recorded and no other alert is sent until it can, for both go into the audit store. Whatever a log does meanwhile is not told of. Nothing is lost: what was not recorded is audited again.",
		Benign:  "A full disk or quota, a permission or credential that ended, a network or service that is down. It says nothing about the log.",
		Actions: "The detail has the last error. Once the store takes writes again, this alert ends by itself, and the audit goes on.",
	},
	"canary": {
		Title:   "A worker verified a proof that it had damaged itself.",
		Means:   "Workers test themselves with damaged proofs, which they must refuse. This one did not, and judges no more. Its earlier verdicts cannot be trusted either.",
		Benign:  "A faulty processor or memory, or a defect in ktaudit or its build. It says nothing about the log.",
		Actions: "Take the machine out of service, and audit again elsewhere what it judged: `ktaudit reverify`. If it happens on other machines, report it.",
	},
	"unknown_key": {
		Title:   "Epochs wait, because they are signed with a key that is not trusted here.",
		Means:   "Signed digests name a key id that the configuration does not have. That is no verdict: these epochs are not judged until the key is known, and the head stays before them.",
		Benign:  "The signer has begun to use a new key.",
		Actions: "Get the new key from the signer by a way that you trust and add it to verifying_keys; docs/keys.md says how. Once the workers were restarted the epochs are judged.",
	},
	"unknown_key_overdue": {
		Title:   "Epochs have been waiting too long for a key that is not trusted here.",
		Means:   "The alert unknown_key has lasted for longer than the audit may be behind (max_lag): the log goes on, and nobody looks at what it does. Nothing is rejected or lost. It ends when the epochs have verdicts.",
		Benign:  "The signer has begun to use a new key, and nobody has configured it.",
		Actions: "Get the new key from the signer by a way that you trust and add it to verifying_keys; docs/keys.md says how. If the signer has no new key, somebody else signs in its name: keep the signed digests and ask.",
	},
	"split_view": {
		Title:   "Another digest was signed for an epoch than the log showed here.",
		Means:   "An auditor whose keys are pinned here signed one digest for the epoch, and the log published another here, or posted another to be signed. The log shows two histories, or the auditor signed what it was not shown. Both statements are in the evidence.",
		Benign:  "The auditor knows another log by this name: the setting cross_check names the wrong one. Else none.",
		Actions: "Check cross_check. Then treat it as an attack: run `ktaudit evidence` for the epoch, and ask the operators of the log and of the auditor.",
	},
	"auditor_contradiction": {
		Title:   "Another auditor contradicts itself.",
		Means:   "It signed two digests for one epoch, or names another digest for the last epoch that it verified than it signed. Its signatures can be relied on no more. It may have been shown two histories.",
		Benign:  "None: an auditor signs one digest for each epoch. Its key may be in the hands of somebody else.",
		Actions: "Both statements are in the evidence: run `ktaudit evidence` for the epoch, and ask the operator of the auditor. Compare the two digests with those of the log.",
	},
	"auditor_signed_rejected": {
		Title:   "Another auditor signed an epoch that was rejected here.",
		Means:   "It has seen the digest. Many auditors sign before they verify, so this need not say that it takes the epoch for good. The signed digest is in the evidence: the log showed the same to both.",
		Benign:  "The auditor signs what it has seen, and verifies later or not at all.",
		Actions: "Deal with the rejection. Ask the operator of the auditor what its verification says of the epoch.",
	},
	"auditor_key_unknown": {
		Title:   "Another auditor signs with a key that is not pinned here.",
		Means:   "Its statements are not compared while that is so, and they accuse nobody. It ends when a statement is signed with a pinned key.",
		Benign:  "The auditor has begun to use a new key.",
		Actions: "Get the new key from the auditor by a way that you trust, and add it to keys under cross_check. If it has no new key, somebody else answers in its place.",
	},
	"auditor_lag": {
		Title:   "Another auditor is behind.",
		Means:   "It has no signature for epochs that have had a verdict here for longer than max_lag under cross_check. What it would say of them is not known. It ends when it has caught up.",
		Benign:  "The auditor was down, or the log has stopped to post its digests to it.",
		Actions: "Look whether it still signs. If the log posts to it no more, ask the operator of the log why.",
	},
	"auditor_silent": {
		Title:   "Another auditor gives no answer that can be compared.",
		Means:   "For an hour, or for max_lag under cross_check, every request has failed; or, where max_lag is not given, the auditor had no signature for any epoch. Nothing is compared meanwhile. It ends with the next answer that has one.",
		Benign:  "The auditor is down or has moved, or the way to it fails; or it has another name for the log, or signs nothing of it yet.",
		Actions: "The detail has the last error. Ask the auditor from another place, and check the URL, and the namespace, under cross_check.",
	},
	"auditor_went_back": {
		Title:   "Another auditor says that it verified less than it said before.",
		Means:   "Several answers in a row named an earlier epoch as the last that it verified. It takes something back, or has lost it. It ends when it is as far as it was.",
		Benign:  "The auditor was restored from a backup, or an old replica answers.",
		Actions: "Ask the operator of the auditor what became of the epochs in between.",
	},
	"verdict_log_changed": {
		Title:   "The audit store does not hold what this auditor's verdict log signed.",
		Means:   "A signed checkpoint says which verdicts there were, and the verdicts, tiles or checkpoints in the store now make another tree. Somebody with access changed, removed or put back objects, or a disk lost them. Nothing more is signed. The checkpoint and what was found are in the evidence.",
		Benign:  "A store that was restored from a backup, or a disk that loses or damages files.",
		Actions: "Keep the store as it is. Run `ktaudit log check` and restore what it names from a backup, then acknowledge. If nobody restored anything, treat it as an attack: find out who could write there. docs/verdict-log.md.",
	},
	"witness_disagrees": {
		Title:   "A witness knows another verdict log than the one in this audit store.",
		Means:   "It answered that its log is larger than ours, or that the same size has another root. If it is right, this store lacks or changed what it once showed. It is the witness's word, not signed; its answer, our checkpoint and our proof are in the evidence.",
		Benign:  "The store was restored from a backup, another ktaudit uses the same origin and key, or the witness is faulty.",
		Actions: "Ask the witness's operator for the checkpoint that it has, and check it: `ktaudit log check --checkpoint FILE`. Make sure that no second ktaudit uses the origin. Restore what is missing. docs/verdict-log.md.",
	},
	"not_witnessed": {
		Title:   "Too few witnesses have cosigned the verdict log for an hour.",
		Means:   "New verdicts are in the log and signed, but not cosigned by as many witnesses as the setting witnesses requires. Until they are, a change of these verdicts would not show to others. It ends once enough have cosigned.",
		Benign:  "A witness is down or has moved, the way to it fails, or it does not know this log yet.",
		Actions: "The detail says what each witness answered. Give the log's verifier key (`ktaudit log show`) to those that do not know it; check url and key of the others under witnesses.",
	},
	"verdict_log_stalled": {
		Title:   "Nothing could be appended to the verdict log for an hour.",
		Means:   "Faults, such as an audit store that does not answer, keep verdicts from the log. Audits go on. It ends with the next round that succeeds.",
		Benign:  "The audit store is slow or out of reach, or its credentials may not write under {namespace}/tlog/.",
		Actions: "The detail has the last error. Run `ktaudit log append` to see it at once.",
	},
	"test": {
		Title:   "Somebody tests that alerts arrive.",
		Means:   "Nothing happened: `ktaudit alert test` was run.",
		Benign:  "Always.",
		Actions: "None.",
	},
}
