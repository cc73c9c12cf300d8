"""The exact half of a KPI's judgement: sequential randomisation by customer.

One thing about a rollout is certainly random: which customers the router's hash has put on the canary. So the hash is
drawn again, thousands of times, and the KPI is followed under the real and the redrawn assignments. If the version
changes nothing, the real one is one among equals, whatever else customers do: retry, buy for a company, come back for
days, meet an outage of a provider together. No model of the shop is needed, and none can be wrong.

`redraw` draws places anew, `cohorts` says whom a pair is compared with, `pairs` remembers what each customer counted
as, `spending` says how much of alpha may be spent by when, `randomisation` is the test.
(Plamadeala and Rosenberger 2012, sequential monitoring with conditional randomization tests.)
"""
