-- What tests need: rules that words in the subject call, and fields as milter_headers sets them.
local function subject_has(task, word)
  local subject = task:get_header('Subject')
  return subject ~= nil and subject:find(word, 1, true) ~= nil
end
rspamd_config:register_symbol({ name = 'PIGEON_TEST', type = 'normal', score = 8.0, group = 'test',
  callback = function(task) return subject_has(task, 'TEST-SPAM') end })
rspamd_config:register_symbol({ name = 'PIGEON_FORCED', type = 'prefilter',
  callback = function(task) if subject_has(task, 'TEST-FORCED') then task:set_pre_result('reject', 'forced') end end })
rspamd_config:register_symbol({ name = 'PIGEON_MILTER', type = 'idempotent', callback = function(task)
  local seen = 'rcpts=' .. #(task:get_recipients('smtp') or {}) .. ' ip=' .. tostring(task:get_from_ip())
  task:set_milter_reply({ add_headers = { ['X-Rspamd-Test'] = { value = seen, order = 0 } },
    remove_headers = { ['X-Old'] = 0 } }) end })
rspamd_config:set_metric_symbol({ name = 'BAYES_SPAM', score = 9.0, group = 'test' })
rspamd_config:set_metric_symbol({ name = 'BAYES_HAM', score = -3.0, group = 'test' })
