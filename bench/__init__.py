"""What README's figures come from: EMS beside its peers, as whole processes, in one run."""
